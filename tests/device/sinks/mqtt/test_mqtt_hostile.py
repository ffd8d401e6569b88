"""Brokers that say nothing or nonsense, and neighbours that publish what nobody should: bounded, said, survived."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import web_helpers as helpers
from mqtt_helpers import Broker, Ear, paho, settings

from fer_edge.contract import bounds
from fer_edge.contract.labels import EMOTIONS8
from fer_edge.errors import SchemaError
from fer_edge.program import threads
from fer_edge.sinks.mqtt.settings import MqttSettings
from fer_edge.sinks.mqtt.sink import MqttSink

CONNACK = b"\x20\x02\x00\x00"
SUBACK = b"\x90\x04\x00\x01\x00\x00"
DEBIAN = Path("/usr/lib/python3/dist-packages/paho")


@pytest.fixture(autouse=True)
def logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's own log settings, of another test, must not hide records from caplog."""
    monkeypatch.setattr(logging.getLogger("fer_edge"), "propagate", True)


@pytest.fixture(params=["pip", "debian"])
def python_path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Both versions of paho: this environment's, and the system's."""
    if request.param == "pip":
        return ""
    if not DEBIAN.is_dir():
        pytest.skip("python3-paho-mqtt is not installed: sudo apt install python3-paho-mqtt")
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "paho").symlink_to(DEBIAN)
    return str(tmp_path / "path")


class FakeBroker:
    """Takes connections and answers each with bytes of the test; what real brokers never do."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port, self.connections = self._server.getsockname()[1], 0
        self._answer = answer
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self._answer(connection)

    def end(self) -> None:
        self._server.close()


@contextlib.contextmanager
def fake(answer: Callable[[socket.socket], None]) -> Iterator[FakeBroker]:
    broker = FakeBroker(answer)
    try:
        yield broker
    finally:
        broker.end()


def publish_packet(topic: bytes, payload: bytes, qos: int = 0) -> bytes:
    body = struct.pack(">H", len(topic)) + topic + (b"\0\1" if qos else b"") + payload
    length, n = b"", len(body)
    while True:
        n, digit = divmod(n, 128)
        length += bytes([digit | (0x80 if n else 0)])
        if not n:
            return bytes([0x30 | qos << 1]) + length + body


def said(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [line for record in caplog.records if words in (line := record.getMessage())]


@pytest.mark.bound("CONNACK_S")
def test_a_silent_broker_is_reported(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "CONNACK_S", 0.5)
    monkeypatch.setattr(bounds, "FIRST_BACKOFF_S", 0.1)

    def listen(connection: socket.socket) -> None:
        while connection.recv(4096):
            pass

    with fake(listen) as deaf:
        sink = MqttSink(settings(deaf.port, keepalive_s=3600), EMOTIONS8)
        helpers.until(lambda: deaf.connections >= 3, "it is tried again")
        assert len(said(caplog, "no MQTT broker answers there (no answer in 0.5 s)")) == 1  # once, not every time
        assert "mqtt.host, mqtt.port and mqtt.tls" in caplog.text
        sink.close()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"x" * 500,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"220 mail\r\n",
        b"\0" * 64,
        b"\xff" * 64,
    ],
)
def test_what_is_no_broker_is_reported(
    nonsense: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "CONNACK_S", 1.0)
    monkeypatch.setattr(bounds, "FIRST_BACKOFF_S", 0.1)
    with fake(lambda connection: (connection.recv(4096), connection.sendall(nonsense), connection.recv(1))[0]) as other:
        sink = MqttSink(settings(other.port), EMOTIONS8)
        helpers.until(lambda: said(caplog, "no MQTT broker answers there"), "it is said")
        helpers.until(lambda: other.connections >= 2, "it is tried again")
        sink.close()


PROGRAM = """
import json, logging, sys, time
from fer_edge.contract import bounds
from fer_edge.sinks.mqtt import trouble
bounds.FIRST_BACKOFF_S = float(sys.argv[2])
trouble.SHORT_TIMES = 1_000_000_000  # no slower tries where each connection is short
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
import paho.mqtt
from fer_edge.sinks.mqtt.settings import MqttSettings
from fer_edge.sinks.mqtt.sink import MqttSink
sink = MqttSink(MqttSettings(host="127.0.0.1", port=int(sys.argv[1]), device_id="test_9", max_backoff_s=1), ("a", "b"))
print(paho.mqtt.__version__, flush=True)
for line in sys.stdin:
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(json.dumps({"kb": int(peak.split()[1]), "connected": sink.connected,
        "reconnects": sink.reconnects, "threads": [t.name for t in __import__("threading").enumerate()]}), flush=True)
sink.close()
"""


class Child:
    """The sink in a process of its own, asked how it is; its memory is its own, and so is its paho."""

    def __init__(self, port: int, python_path: str) -> None:
        environment = os.environ | ({"PYTHONPATH": python_path} if python_path else {})
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(port), "0.02"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()
        assert self.process.stdout is not None
        self.version = self.process.stdout.readline().strip()
        assert self.version.startswith("1." if python_path else "2.")

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines += iter(self.process.stderr.readline, "")

    def ask(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))

    def end(self) -> str:
        """What it has said."""
        self.process.stdin.close()  # type: ignore[union-attr]
        assert self.process.wait(30) == 0
        return "".join(self.lines)


def test_two_hundred_megabytes_to_the_topic_we_listen_to(tmp_path: Path, python_path: str) -> None:
    """Whoever may publish there must not decide how much memory this process takes, nor end its connection for good."""
    broker = Broker(tmp_path, "allow_anonymous true")
    broker.start()
    ear = Ear(broker.port)
    child = Child(broker.port, python_path)
    try:
        ear.wait("fer-edge/test_9/availability", lambda p: p == "online")
        before_kb = child.ask()["kb"]
        version = (paho.CallbackAPIVersion.VERSION2,) if hasattr(paho, "CallbackAPIVersion") else ()
        mallory = paho.Client(*version)
        mallory.connect("127.0.0.1", broker.port)
        mallory.loop_start()
        mallory.publish("homeassistant/status", bytes(200_000_000), qos=1, retain=True).wait_for_publish(60)
        helpers.until(lambda: child.ask()["reconnects"] >= 1, "it has left and come back")
        helpers.until(lambda: child.ask()["connected"], "it stays")
        mallory.publish("homeassistant/status", b"", retain=True).wait_for_publish(20)
        mallory.disconnect()
        mallory.loop_stop()
        told = child.ask()
        assert told["kb"] - before_kb < 20_000  # 673 MB before
        assert told["reconnects"] == 1  # it does not listen there again, or it would be told for ever
    finally:
        text = child.end()
        ear.end()
        broker.end()
    assert "no longer listening to it" in text
    assert "200,000," in text
    assert "Traceback" not in text


def test_a_broker_that_sends_what_breaks_the_client(python_path: str) -> None:
    """A topic that is no UTF-8, and packets that no client can take apart: its thread goes on, and says so."""
    broken = [
        publish_packet(b"caf\xe9", b"online"),
        publish_packet(b"", b""),
        b"\x30\x02\xff\xff",  # a topic longer than its packet
        b"\x30\x00",
        b"\x90\x00",  # SUBACK of nothing
        b"\x40\x00",  # PUBACK of nothing
        b"\x20\x02\x00\x01" * 3,  # refused, after it was taken
        publish_packet(b"homeassistant/status", b"online", qos=2),
        publish_packet(b"homeassistant/status", b"x" * 5000),
        b"\xf0\x00",
        b"\x30\xff\xff\xff\xff\xff",
    ]
    seen: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        packet = broken[len(seen) % len(broken)]
        seen.append(packet)
        connection.recv(4096)
        connection.sendall(CONNACK + packet)
        connection.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while connection.recv(4096):
                pass

    with fake(answer) as broker:
        child = Child(broker.port, python_path)
        helpers.until(lambda: len(seen) > len(broken), "each was survived", wait_s=100)
        assert "mqtt" in child.ask()["threads"]
        text = child.end()
    assert text.count("Traceback") <= 1  # the first error that paho did not expect, with its place
    assert len(text.splitlines()) < 80


@pytest.mark.bound("FIRST_BACKOFF_S")
def test_errors_are_counted_and_a_thread_that_died_is_seen(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """paho's thread is looked after like our own: whatever it meets, it is counted, and the watchdog sees its end."""
    monkeypatch.setattr(bounds, "FIRST_BACKOFF_S", 0.05)

    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(CONNACK)
        while connection.recv(4096):
            pass

    def fail(*_: object) -> None:
        raise RuntimeError("nobody expected this")

    with fake(answer) as broker:
        monkeypatch.setattr(MqttSink, "_introduce", fail)
        sink = MqttSink(settings(broker.port), EMOTIONS8)
        helpers.until(lambda: threads.errors().get("mqtt", 0) >= 2, "they are counted")
        assert len([record for record in caplog.records if record.exc_info]) == 1  # its place is said once
        assert "mqtt" not in threads.dead()
        monkeypatch.setattr(MqttSink, "_introduce", lambda *_: sys.exit())  # no guard holds this
        helpers.until(lambda: "mqtt" in threads.dead(), "the watchdog is told")
        sink.close()
        assert "mqtt" not in threads.dead()


def test_random_packets(python_path: str) -> None:
    """A seeded fuzz of what a broker may send after it took us; 2,000 cases by hand (FER_TEST_MQTT_CASES)."""
    cases = int(os.environ.get("FER_TEST_MQTT_CASES", "60"))
    rng = random.Random(5)
    done = 0

    def answer(connection: socket.socket) -> None:
        nonlocal done
        connection.recv(4096)
        length = rng.choice((0, 1, 2, 3, 5, 40, 127))
        packet = bytes([rng.randrange(256), length]) + rng.randbytes(length)
        connection.sendall(CONNACK + SUBACK + packet * rng.choice((1, 3)))
        connection.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            connection.recv(65536)
        done += 1

    with fake(answer) as broker:
        child = Child(broker.port, python_path)
        helpers.until(lambda: done >= cases, "all were survived", wait_s=60 + 3 * cases)
        assert child.ask()["kb"] < 200_000
        text = child.end()
    assert text.count("Traceback") <= 1


@pytest.mark.bound("INTRODUCE_S")
def test_home_assistant_that_restarts_all_the_time_costs_one_introduction_a_second(tmp_path: Path) -> None:
    broker = Broker(tmp_path, "allow_anonymous true")
    broker.start()
    ear = Ear(broker.port)
    sink = MqttSink(settings(broker.port), EMOTIONS8)
    try:
        ear.wait("homeassistant/device/test_1/config")
        since = len(ear.heard)
        for _ in range(300):
            ear.client.publish("homeassistant/status", "online")
        ear.wait("homeassistant/device/test_1/config", since=since)
        helpers.until(lambda: sum(t == "homeassistant/status" for t, _, _ in ear.heard[since:]) == 300, "all came")
        assert sum(t.endswith("/config") for t, _, _ in ear.heard[since:]) <= 5
    finally:
        sink.close()
        ear.end()
        broker.end()


def test_an_empty_password_is_sent_as_one(tmp_path: Path) -> None:
    """mosquitto takes none, others do: the packet says what it is (MQTT 3.1.1, section 3.1.3.5)."""
    (tmp_path / "secret").write_bytes(b"\xef\xbb\xbf\r\n")  # an empty line, as Windows writes it
    packets: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        packets.append(connection.recv(4096))
        connection.sendall(CONNACK)
        connection.recv(4096)

    with fake(answer) as broker:
        sink = MqttSink(settings(broker.port, username="pi", password_file=str(tmp_path / "secret")), EMOTIONS8)
        helpers.until(lambda: sink.reconnects or sink.connected, "it connects")
        sink.close()
    assert packets[0][9] & 0xC0 == 0xC0  # both are there
    assert packets[0].endswith(b"\0\2pi\0\0")


@pytest.mark.parametrize("key", ["device_name", "username"])
@pytest.mark.parametrize("value", ["caf\udce9", "two\nlines", "zero\0", "x" * 129, "\x1b[2J"])
def test_names_that_are_no_text_are_refused_at_the_start(key: str, value: str) -> None:
    with pytest.raises(SchemaError, match=rf"^{key}: found .*, expected UTF-8 text in one line"):
        MqttSettings(host="localhost", **{key: value})  # type: ignore[arg-type]


def test_a_device_name_that_is_no_utf8_on_the_command_line(
    edge: Callable[..., subprocess.CompletedProcess[str]], one_line: Callable[..., str], bundle: Any
) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    done = edge(
        "run", "--source", "synthetic://?n=9", "--bundle", bundle.path, "--mqtt-host", "h", "--mqtt-device-name", name
    )
    one_line(done, "mqtt.device_name")


@pytest.mark.parametrize("key", ["topic_prefix", "discovery_prefix", "device_id"])
def test_topics_are_bounded(key: str) -> None:
    MqttSettings(host="localhost", **{key: "x" * 128})  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match=rf"^{key}: "):
        MqttSettings(host="localhost", **{key: "x" * 129})  # type: ignore[arg-type]
