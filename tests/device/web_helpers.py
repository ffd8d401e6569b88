"""Real programs around the tests of sinks: fer-edge with its page, mosquitto, Chromium; and what they are asked."""

from __future__ import annotations

import http.client
import json
import os
import queue
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fer_edge.errors import ImageError
from fer_edge.sinks.web.controls import Controls
from fer_edge.sinks.web.settings import WebSettings
from fer_edge.sinks.web.sink import WebSink
from fer_edge.types import FrameReading, RgbImage

WAIT_S = 60.0  # this machine may be busy; nothing here measures time


def needs(program: str, package: str = "") -> str:
    """A program's path; skips the test, naming the package, where it is not installed."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed: sudo apt install {package or program} (as root `make test` does it)")
    return found


def until(what: Callable[[], Any], said: str, wait_s: float = WAIT_S) -> Any:
    """Waits for something to be true and gives it."""
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not in {wait_s:g} s: {said}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Program:
    """A running program whose lines on stderr are kept."""

    def __init__(self, *arguments: object, **options: Any) -> None:
        self.process = subprocess.Popen(
            [str(a) for a in arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options
        )
        self.lines: list[str] = []
        self._new: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            self._new.put(line.rstrip())
        self._new.put(None)

    def line(self, part: str) -> str:
        """The next line with this in it."""
        while True:
            try:
                line = self._new.get(timeout=WAIT_S)
            except queue.Empty:
                line = None
            assert line is not None, f"no line with {part!r} in {self.lines}"
            if part in line:
                return line

    def end(self) -> int:
        """SIGTERM, and its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@contextmanager
def fer_edge(*arguments: object) -> Iterator[tuple[Program, str]]:
    """``fer-edge ARGUMENTS --web-port 0``-like: gives the program and its page's address as it says it."""
    program = Program(sys.executable, "-m", "fer_edge.cli", *arguments)
    try:
        line = program.line("http://")
        yield program, next(word for word in line.split() if word.startswith("http://"))
    finally:
        program.end()


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One request: status, headers in lower case, content."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


class Switch:
    """A camera that is there and counts what it is told; no photo is read."""

    has_camera = True

    def __init__(self) -> None:
        self.told: list[str] = []

    def start(self) -> None:
        self.told.append("start")

    def stop(self) -> None:
        self.told.append("stop")

    def read_photo(self, content: bytes) -> FrameReading:
        raise ImageError(f"photo: {len(content)} bytes, not read in this test")


@contextmanager
def site(controls: Controls | None = None, **settings: Any) -> Iterator[WebSink]:
    """A page on a free port of 127.0.0.1."""
    sink = WebSink(WebSettings(**({"port": 0} | settings)), controls or Switch())
    try:
        yield sink
    finally:
        sink.close()


def raw(port: int, content: bytes, wait_s: float = 30) -> bytes:
    """Sends bytes as they are, and gives all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait_s) as client:
        client.sendall(content)
        parts = []
        try:
            while part := client.recv(65536):
                parts.append(part)
        except (ConnectionResetError, TimeoutError):
            pass
        return b"".join(parts)


OWN = {"X-Fer-Edge": "1"}


def post_photo(port: int, content: bytes, headers: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """A photo, as the page sends it: status and document."""
    status, _, answer = ask(port, "POST", "/api/photo", content, OWN if headers is None else headers)
    return status, json.loads(answer)


def jpeg(image: RgbImage, quality: int = 90) -> bytes:
    ok, content = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok
    return content.tobytes()


def with_exif(content: bytes, orientation: int, extra: bytes = b"") -> bytes:
    """A JPEG with an EXIF segment that states an orientation, as phones write it."""
    tiff = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x0112, 3, 1, orientation, 0) + extra
    payload = b"Exif\0\0" + tiff
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + content[2:]


def on_its_side(image: RgbImage) -> bytes:
    """A JPEG stored as a phone held upright stores it: turned left, with EXIF orientation 6 (turn right to view)."""
    return with_exif(jpeg(np.ascontiguousarray(np.rot90(image))), 6)


def decode_jpeg(content: bytes) -> NDArray[np.uint8]:
    """RGB."""
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1])
