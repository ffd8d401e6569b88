"""Each bound of what comes from outside: as much as it says is taken, one more is not. Times are in test_web*.py."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import web_helpers as helpers
from mqtt_helpers import a_reading, settings

from fer_edge.contract import bounds
from fer_edge.contract.labels import EMOTIONS8
from fer_edge.errors import ImageError, SchemaError, UsageError
from fer_edge.sinks.mqtt.settings import MqttSettings
from fer_edge.sinks.mqtt.sink import MqttSink
from fer_edge.sinks.secret import first_line
from fer_edge.sinks.web.guard import Token, host_is_known
from fer_edge.sinks.web.sink import WebSink
from fer_edge.sinks.web.upload import TooLarge, check_photo

TOKEN = "0123456789abcdef-of-a-test"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebSink]:
    (tmp_path / "token").write_text(TOKEN)
    with helpers.site(token_file=str(tmp_path / "token")) as sink:
        yield sink


def status(port: int, request: bytes) -> int:
    return int(helpers.raw(port, request).split()[1])


@pytest.mark.bound("HEADER_BYTES")
def test_headers(web: WebSink) -> None:
    head = b"GET /style.css HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: %s\r\n\r\n"
    room = bounds.HEADER_BYTES - len(head % b"")
    assert status(web.port, head % (b"x" * room)) == 200
    assert status(web.port, head % (b"x" * (room + 1))) == 431


@pytest.mark.bound("HOST_CHARS")
def test_host() -> None:
    name = "x" * bounds.HOST_CHARS
    assert host_is_known(name, (name,))
    assert not host_is_known(name + "x", (name + "x",))


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.bound("LOGIN_BYTES")
def test_login_form(web: WebSink, more: int) -> None:
    form = f"token={TOKEN}&".encode()
    form += b"x" * (bounds.LOGIN_BYTES + more - len(form))
    head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(form)
    assert status(web.port, head + form) == (413 if more else 303)


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.bound("FORM_FIELDS")
def test_fields(web: WebSink, more: int) -> None:
    form = ("a=b&" * (bounds.FORM_FIELDS - 1 + more) + f"token={TOKEN}").encode()
    head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(form)
    assert status(web.port, head + form) == (400 if more else 303)
    query = b"GET /?%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % form
    assert status(web.port, query) == (401 if more else 303)


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.bound("COMMAND_BYTES")
def test_content_of_a_command(more: int) -> None:
    with helpers.site() as web:
        content = b"x" * (bounds.COMMAND_BYTES + more)
        assert helpers.ask(web.port, "POST", "/api/camera/stop", content, helpers.OWN)[0] == (413 if more else 202)


@pytest.mark.bound("PHOTOS_AT_A_TIME")
def test_photos_at_a_time() -> None:
    class Slow(helpers.Switch):
        def read_photo(self, content: bytes) -> helpers.FrameReading:
            inside.release()
            assert ended.wait(helpers.WAIT_S)
            raise ImageError("photo: none")

    inside, ended = threading.Semaphore(0), threading.Event()
    picture = helpers.jpeg(helpers.np.zeros((32, 32, 3), helpers.np.uint8))
    with helpers.site(Slow()) as web:
        threads = [
            threading.Thread(target=helpers.post_photo, args=(web.port, picture))
            for _ in range(bounds.PHOTOS_AT_A_TIME)
        ]
        for thread in threads:
            thread.start()
            assert inside.acquire(timeout=helpers.WAIT_S)
        try:
            found, answer = helpers.post_photo(web.port, picture)
            assert (found, answer["error"]["kind"]) == (503, "busy")
        finally:
            ended.set()
            for thread in threads:
                thread.join()


def bmp(width: int, height: int) -> bytes:
    """The header of a picture, which is all that is looked at."""
    return b"BM" + struct.pack("<IHHI", 1 << 20, 0, 0, 54) + struct.pack("<IiiHH", 40, width, height, 1, 24) + bytes(24)


@pytest.mark.bound("MIN_SIDE_PX", "MAX_SIDE_PX")
def test_sides_of_a_photo() -> None:
    check_photo(bmp(bounds.MIN_SIDE_PX, bounds.MAX_SIDE_PX), 10**6, 10**9)
    with pytest.raises(ImageError, match="at least"):
        check_photo(bmp(bounds.MIN_SIDE_PX - 1, 100), 10**6, 10**9)
    with pytest.raises(TooLarge):
        check_photo(bmp(100, bounds.MAX_SIDE_PX + 1), 10**6, 10**9)


@pytest.mark.bound("MAX_FROM_ONE")
def test_connections_from_one_address(web: WebSink) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(bounds.MAX_FROM_ONE + 1):
            stack.enter_context(socket.create_connection(("127.0.0.1", web.port)))
        helpers.until(lambda: web._server.places.given_up == 1, "one too many")
        assert len(web._server.places) == bounds.MAX_FROM_ONE


@pytest.mark.bound("TOKEN_CHARS", "SECRET_BYTES")
def test_tokens_and_secrets(tmp_path: Path) -> None:
    Token("x" * bounds.TOKEN_CHARS)
    with pytest.raises(UsageError):
        Token("x" * (bounds.TOKEN_CHARS + 1))
    path = tmp_path / "secret"
    path.write_bytes(b"x" * bounds.SECRET_BYTES)
    assert len(first_line(str(path))) == bounds.SECRET_BYTES
    path.write_bytes(b"x" * (bounds.SECRET_BYTES + 1))
    with pytest.raises(UsageError, match="more than"):
        first_line(str(path))


@pytest.mark.bound("NAME_CHARS")
def test_names_for_mqtt() -> None:
    MqttSettings(device_name="x" * bounds.NAME_CHARS)
    with pytest.raises(SchemaError):
        MqttSettings(device_name="x" * (bounds.NAME_CHARS + 1))


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.bound("PACKET_BYTES")
def test_packets_from_a_broker(more: int) -> None:
    """A message of exactly as much as may come is read; of one more, the connection ends."""
    topic = b"homeassistant/status"
    payload = b"x" * (bounds.PACKET_BYTES + more - 2 - len(topic))
    body = struct.pack(">H", len(topic)) + topic + payload
    packet = b"\x30" + bytes([len(body) & 127 | 128, len(body) >> 7]) + body
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(helpers.WAIT_S)
        sink = MqttSink(settings(server.getsockname()[1]), EMOTIONS8)
        connection, _ = server.accept()
        with connection:
            connection.settimeout(helpers.WAIT_S)
            connection.recv(4096)
            connection.sendall(b"\x20\x02\0\0" + packet)
            helpers.until(lambda: sink.connected is not bool(more) and sink._ever is bool(more), "as the bound says")
            if not more:  # and it goes on
                before = sink.dropped
                sink.publish(a_reading(0, "fear"))
                time.sleep(0.2)
                assert sink.connected
                assert sink.dropped == before
        sink.close()
