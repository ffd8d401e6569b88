"""A network camera: real RTSP over TCP from a small server, lost and found again, its password kept to itself."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_clips import encode, needs_ffmpeg, number_of, numbered
from rtsp_server import RtspServer

from fer_edge.errors import SourceError
from fer_edge.sources import open_source, parse_uri, reconnect, rtsp
from fer_edge.sources.reconnect import ReconnectingSource


@pytest.fixture
def server() -> Iterator[RtspServer]:
    server = RtspServer()
    yield server
    server.stop()


def test_frames_come_upright_and_red_green_blue(server: RtspServer) -> None:
    source = open_source(f"rtsp://127.0.0.1:{server.port}/x")
    frames = list(itertools.islice(source, 5))
    source.close()
    assert frames[0].image.shape == (128, 160, 3)
    assert frames[0].image[100, 80].tolist() == pytest.approx([200, 90, 40], abs=6)
    assert frames[-1].t_capture_s > frames[0].t_capture_s
    assert "RTSP" in source.description  # type: ignore[attr-defined]


def test_the_password_is_in_no_message() -> None:
    uri = parse_uri("rtsp://user:se%40cret@127.0.0.1:1/x?channel=1")
    assert (uri.scheme, uri.path, uri.options) == ("rtsp", "rtsp://user:se%40cret@127.0.0.1:1/x?channel=1", {})
    assert uri.text == "rtsp://***@127.0.0.1:1/x?channel=1"
    with pytest.raises(SourceError, match="refused, or no stream there") as error:
        open_source(uri.path)
    assert "cret" not in str(error.value)


def test_a_login_is_used() -> None:
    server = RtspServer(login="Basic dXNlcjpwYXNz")
    source = open_source(f"rtsp://user:pass@127.0.0.1:{server.port}/x")
    assert next(iter(source)).source == f"rtsp://***@127.0.0.1:{server.port}/x"
    source.close()
    with pytest.raises(SourceError, match="check address, path, user and password"):
        open_source(f"rtsp://user:wrong@127.0.0.1:{server.port}/x")
    server.stop()


@pytest.mark.bound("OPEN_S")
def test_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtsp, "OPEN_S", 0.5)
    server = RtspServer(login="nobody knows")
    server._answer = lambda *_: None  # type: ignore[method-assign]  # connects, and says nothing
    with pytest.raises(SourceError, match=r"no answer in 0\.5 s"):
        open_source(f"rtsp://127.0.0.1:{server.port}/x")
    server.stop()


@pytest.mark.parametrize("fault", ["power", "mute"])
@pytest.mark.bound("READ_S")
def test_lost_and_found_again(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def delays(_: random.Random) -> Iterator[float]:
        return itertools.repeat(0.1)

    monkeypatch.setattr(reconnect, "backoff", delays)
    monkeypatch.setattr(rtsp, "READ_S", 0.5)
    server = RtspServer()
    said: list[str] = []
    source = ReconnectingSource(lambda: open_source(f"rtsp://127.0.0.1:{server.port}/x"), "rtsp", said.append)
    servers = [server]

    def again() -> None:
        if fault == "mute":
            server.muted = False
        else:
            servers.append(RtspServer(server.port, size=(320, 240)))

    shapes, is_lost = set(), False
    for frame in source:
        shapes.add(frame.image.shape[:2])
        if frame.index >= 3 and not is_lost:
            is_lost, n = True, frame.index
            if fault == "mute":
                server.muted = True
            else:
                server.stop()
            threading.Timer(1.0, again).start()
        if source.reconnects and frame.index > n + 5:
            break
    source.close()
    for each in servers:
        each.stop()
    assert source.reconnects == 1
    assert "the stream broke off after" in said[0]
    assert shapes == ({(128, 160)} if fault == "mute" else {(128, 160), (240, 320)})


@pytest.mark.bound("FROZEN_S")
def test_a_frozen_picture_is_noticed(server: RtspServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtsp, "FROZEN_S", 0.3)
    source = open_source(f"rtsp://127.0.0.1:{server.port}/x")
    camera = source._camera  # type: ignore[attr-defined]
    seen = camera._decoder.read()
    camera._decoder.read = lambda: seen
    with pytest.raises(SourceError, match=r"the picture is frozen for 0\.3 s"):
        list(source)


@needs_ffmpeg
def test_a_damaged_packet_is_no_loss_of_the_camera(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It costs its frame; what was sound before is not opened again."""
    path = encode(tmp_path / "x.h264", [numbered(i, 128, 160) for i in range(40)], "-g", "10", "-bf", "0")
    units = [unit.rstrip(b"\0") for unit in path.read_bytes().replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]]
    frames: list[list[bytes]] = [[]]
    for unit in units:
        frames[-1].append(unit)
        if unit[0] & 0x1F in (1, 5):
            frames.append([])
    frames = frames[:-1]
    assert len(frames) == 40
    frames[25] = [bytes([0x41]) + b"\xff" * 200]
    server = RtspServer(h264=frames)
    said: list[str] = []
    source = ReconnectingSource(lambda: open_source(f"rtsp://127.0.0.1:{server.port}/x"), "rtsp", said.append)
    numbers = []
    for frame in source:
        numbers.append(number_of(frame.image))
        if len(numbers) > 45:
            source.close()
    server.stop()
    assert said == []
    assert source.reconnects == 0
    assert {20, 24, 35, 39} <= set(numbers)
    assert capfd.readouterr().err == ""
