"""Cameras over HTTP: streams as ESP32-CAM, phones, mjpg-streamer and FFmpeg send them, and single pictures."""

from __future__ import annotations

import base64
import itertools
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import pytest
import web_helpers
from made_clips import encode, needs_ffmpeg, number_of, numbered

from fer_edge.errors import SourceError
from fer_edge.sources import http, open_source, parse_uri
from fer_edge.sources.multipart import MAX_HEADER_BYTES, Multipart, NotMultipart, boundary_of
from fer_edge.types import Frame


def jpeg(n: int) -> bytes:
    """A numbered picture."""
    return bytes(cv2.imencode(".jpg", numbered(n)[:, :, ::-1])[1])


class Camera(ThreadingHTTPServer):
    """A camera that answers as its ``answer`` says."""

    daemon_threads = True

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        self.at = f"http://127.0.0.1:{self.server_port}/stream"


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[BaseHTTPRequestHandler], None]], Camera]]:
    made: list[Camera] = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None]) -> Camera:
        made.append(Camera(answer))
        return made[-1]

    yield start
    for camera in made:
        camera.shutdown()
        camera.server_close()


Serve = Callable[[Callable[[BaseHTTPRequestHandler], None]], Camera]


def head(handler: BaseHTTPRequestHandler, kind: str, code: int = 200, *more: tuple[str, str]) -> None:
    handler.send_response(code)
    handler.send_header("Content-Type", kind)
    for name, value in more:
        handler.send_header(name, value)
    handler.end_headers()


def streaming(
    numbers: Iterator[int], lengths: bool = True, dashes: str = "", pause_s: float = 0.02
) -> Callable[[BaseHTTPRequestHandler], None]:
    """Sends a numbered picture after another."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        head(handler, f"multipart/x-mixed-replace;boundary={dashes}123456789000000000000987654321")
        try:
            for n in numbers:
                content = jpeg(n)
                length = f"Content-Length: {len(content)}\r\n" if lengths else ""
                handler.wfile.write(
                    b"\r\n--123456789000000000000987654321\r\nContent-Type: image/jpeg\r\n" + length.encode() + b"\r\n"
                )
                handler.wfile.write(content)
                time.sleep(pause_s)
        except OSError:
            pass  # the reader went

    return answer


@pytest.mark.parametrize(("lengths", "dashes"), [(True, ""), (False, ""), (True, "--"), (False, "--")])
def test_a_stream_with_and_without_lengths(lengths: bool, dashes: str, serve: Serve) -> None:
    camera = serve(streaming(itertools.count(1), lengths, dashes))
    source = open_source(camera.at)
    frames = list(itertools.islice(source, 5))
    source.close()
    numbers = [number_of(frame.image) for frame in frames]
    assert numbers == sorted(set(numbers))
    assert frames[0].can_be_late
    assert frames[0].image.shape == numbered(0).shape
    assert source.corrupt == 0
    assert source.description == "Motion JPEG over HTTP"


@needs_ffmpeg
def test_a_stream_of_ffmpeg(tmp_path: Path) -> None:
    clip = encode(tmp_path / "clip.avi", map(numbered, range(50)), codec="mjpeg")
    port = web_helpers.free_port()
    at = f"http://127.0.0.1:{port}/x"
    kind = ("-content_type", "multipart/x-mixed-replace;boundary=ffmpeg")
    ffmpeg = str(shutil.which("ffmpeg"))
    loop = [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", clip, "-c", "copy", "-flush_packets", "1"]
    command = [*loop, "-f", "mpjpeg", *kind, "-listen", "1", at]
    with subprocess.Popen(command) as server:
        try:
            frames = list(itertools.islice(_when_there(at), 5))
        finally:
            server.kill()
    assert all(0 <= number_of(frame.image) < 50 for frame in frames)


def _when_there(at: str) -> Iterator[Frame]:
    """FFmpeg takes one connection: it must not be spent on asking whether it listens."""
    until = time.monotonic() + web_helpers.WAIT_S
    while True:
        try:
            return iter(open_source(at))
        except SourceError as error:
            if "refused" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.05)


def test_the_newest_picture_is_read_and_older_ones_are_counted(serve: Serve) -> None:
    sent = threading.Event()

    def numbers() -> Iterator[int]:
        yield from range(1, 60)  # all at once
        sent.set()
        time.sleep(60)

    camera = serve(streaming(numbers(), pause_s=0))
    source = http.HttpCamera("x", camera.at)
    source.open()
    assert sent.wait(30)
    last = 0
    while last < 59:
        last = number_of(source.read()[0])
    assert source.dropped == 59 - source._frames > 0
    source.close()


def test_single_pictures_are_asked_for_again_and_the_same_one_is_not_read_twice(serve: Serve) -> None:
    asked = itertools.count()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        head(handler, "image/jpeg")
        handler.wfile.write(jpeg(next(asked) // 3))

    source = open_source(serve(answer).at)
    numbers = [number_of(frame.image) for frame in itertools.islice(source, 3)]
    source.close()
    assert numbers == sorted(set(numbers))
    assert source.description == "single pictures over HTTP"


def test_a_damaged_picture_is_counted_and_left_out(serve: Serve) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        head(handler, "multipart/x-mixed-replace; boundary=x")
        for n in itertools.count(1):
            content = jpeg(n) if n % 2 else jpeg(n)[:200]
            try:
                handler.wfile.write(b"--x\r\nContent-Length: %d\r\n\r\n" % len(content) + content + b"\r\n")
            except OSError:
                return  # the reader went
            time.sleep(0.02)

    source = open_source(serve(answer).at)
    numbers = [number_of(frame.image) for frame in itertools.islice(source, 4)]
    source.close()
    assert all(n % 2 for n in numbers)
    assert source.corrupt > 0


def test_a_login_stays_with_its_server_and_out_of_every_message(serve: Serve) -> None:
    seen: list[str | None] = []

    def other(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers.get("Authorization"))
        streaming(itertools.count(1))(handler)

    elsewhere = serve(other)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.headers.get("Authorization") != "Basic " + base64.b64encode(b"user:se@cret").decode():
            head(handler, "text/plain", 401, ("WWW-Authenticate", 'Basic realm="camera"'))
        else:
            head(handler, "text/plain", 302, ("Location", elsewhere.at))

    camera = serve(answer)
    name = camera.at.replace("//", "//user:se%40cret@")
    source = open_source(name)
    frame = next(iter(source))
    source.close()
    assert seen == [None]
    assert frame.source == camera.at.replace("//", "//***@")
    with pytest.raises(SourceError, match=r"refused \(401\); check user and password") as error:
        open_source(camera.at.replace("//", "//user:wrong@"))
    assert "wrong" not in str(error.value)


def test_what_is_no_picture_is_named(serve: Serve) -> None:
    def page(handler: BaseHTTPRequestHandler) -> None:
        head(handler, "text/html")
        handler.wfile.write(b"<html>")

    with pytest.raises(SourceError, match="answers with text/html, expected Motion JPEG or a picture"):
        open_source(serve(page).at)
    with pytest.raises(SourceError, match="answers 404 Not Found; check the address"):
        open_source(serve(lambda handler: head(handler, "text/plain", 404)).at)
    with pytest.raises(SourceError, match="refused; check the address"):
        open_source(f"http://127.0.0.1:{web_helpers.free_port()}/x")
    with pytest.raises(SourceError, match="names no host"):
        parse_uri("http:///x")


@pytest.mark.bound("READ_S", "OPEN_S")
def test_a_stream_that_ends_or_falls_silent(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = open_source(serve(streaming(iter([1, 2]))).at)
    with pytest.raises(SourceError, match=r"the stream ended after [12] frames"):
        list(source)
    silent = threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        streaming(iter([1]))(handler)
        silent.wait(30)

    source = open_source(serve(answer).at)
    monkeypatch.setattr(http, "READ_S", 0.5)  # not before: opening may take its time on a busy machine
    with pytest.raises(SourceError, match="after 1 frames"):
        list(source)
    silent.set()
    assert "while closing" not in caplog.text


def test_a_certificate_that_nobody_vouches_for(serve: Serve, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1")
    openssl = web_helpers.needs("openssl")
    subprocess.run([openssl, *made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    camera = serve(streaming(itertools.count(1)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    camera.socket = context.wrap_socket(camera.socket, server_side=True)
    with pytest.raises(SourceError, match=r"certificate does not hold \(self-signed certificate\)"):
        open_source(camera.at.replace("http:", "https:"))


def test_turned_and_flipped(serve: Serve) -> None:
    assert parse_uri("http://cam/x?a=1&rotation=90").path == "http://cam/x?a=1"
    source = open_source(serve(streaming(itertools.count(1))).at + "?rotation=90")
    frame = next(iter(source))
    source.close()
    height, width = numbered(0).shape[:2]
    assert frame.image.shape[:2] == (width, height)


def test_bytes_in_any_pieces_give_the_same_parts() -> None:
    parts = [jpeg(1), jpeg(2), jpeg(3)]
    stream = b"preamble\r\n" + b"".join(b"--b\r\nContent-Type: image/jpeg\r\n\r\n" + part + b"\r\n" for part in parts)
    stream += b"--b--\r\n"
    for size in (1, 7, 1000, len(stream)):
        taken = Multipart("b")
        got = [part for at in range(0, len(stream), size) for part in taken.feed(stream[at : at + size])]
        assert [part.removesuffix(b"\r\n") for part in got] == parts


@pytest.mark.bound("PART_BYTES", "PART_HEADER_BYTES")
def test_limits() -> None:
    with pytest.raises(NotMultipart, match="no boundary"):
        Multipart("b").feed(b"x" * (MAX_HEADER_BYTES + 10))
    with pytest.raises(NotMultipart, match="headers without an end"):
        Multipart("b").feed(b"--b\r\n" + b"x" * (MAX_HEADER_BYTES + 10))
    with pytest.raises(NotMultipart, match="a picture of 32000001 bytes"):
        Multipart("b").feed(b"--b\r\nContent-Length: 32000001\r\n\r\n")
    assert boundary_of('multipart/x-mixed-replace; boundary="--a b"') == "a b"
    assert boundary_of("multipart/x-mixed-replace; boundary=--") is None
    assert boundary_of("multipart/x-mixed-replace") is None
