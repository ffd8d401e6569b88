"""The web server's answers, limits and refusals, asked by real HTTP requests and by clients that misbehave."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import web_helpers as helpers
from hostile import encoded, hostile_files, many_scans
from web_helpers import OWN, ask, raw

from fer_edge.contract import bounds
from fer_edge.contract.bundle import Bundle
from fer_edge.detectors.blazeface import BlazeFace
from fer_edge.errors import ImageError, SchemaError, UsageError
from fer_edge.pictures import annotate
from fer_edge.pipeline import Pipeline, open_pipeline
from fer_edge.sinks.metrics import CONTENT_TYPE, MetricsSink
from fer_edge.sinks.web import handler
from fer_edge.sinks.web.controls import PhotoDesk
from fer_edge.sinks.web.guard import Token, host_is_known, is_cross_site, is_own_address, may_change
from fer_edge.sinks.web.live import NUMBERS, History
from fer_edge.sinks.web.settings import WebSettings
from fer_edge.sinks.web.sink import WebSink
from fer_edge.sinks.web.upload import TooLarge, check_photo
from fer_edge.types import FaceBox, FaceReading, Frame, FrameReading, RgbImage, Status


class Desk(PhotoDesk):
    """Photos, and a camera that counts what it is told."""

    has_camera = True
    told: tuple[str, ...] = ()

    def start(self) -> None:
        self.told += ("start",)

    def stop(self) -> None:
        self.told += ("stop",)


@pytest.fixture(scope="module")
def pipeline(bundle: Bundle) -> Pipeline:
    return open_pipeline(bundle)


Serve = Callable[..., WebSink]


@pytest.fixture
def serve(pipeline: Pipeline) -> Iterator[Serve]:
    sinks: list[WebSink] = []

    def make(controls: Any = None, metrics: MetricsSink | None = None, page: bool = True, **settings: Any) -> WebSink:
        settings = {"port": 0} | settings
        sinks.append(WebSink(WebSettings(**settings), controls or Desk(lambda: pipeline), metrics, page))
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.close()


def a_reading(image: RgbImage, index: int = 0, label: str = "happiness") -> FrameReading:
    height, width = image.shape[:2]
    box = FaceBox((width * 0.3, height * 0.3, width * 0.4, height * 0.4), {}, 0.9)
    face = FaceReading(box, label, {"happiness": 0.1, "anger": 0.1} | {label: 0.8}, track=4)
    return FrameReading(Frame(image, index, time.monotonic(), "test"), (face,)).published()


def kind_of(answer: bytes) -> str:
    """Of a refusal."""
    return str(json.loads(answer)["error"]["kind"])


# -- answers


def test_page_and_its_headers(serve: Serve) -> None:
    web = serve()
    for path, kind in (
        ("/", "text/html"),
        ("/app.js", "text/javascript"),
        ("/style.css", "text/css"),
        ("/icon.svg", "image/svg"),
    ):
        status, headers, content = ask(web.port, "GET", path)
        assert status == 200
        assert headers["content-type"].startswith(kind)
        assert len(content) == int(headers["content-length"]) > 200
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "python" not in headers["server"].lower()
    status, headers, content = ask(web.port, "HEAD", "/")
    assert (status, content) == (200, b"")
    said: list[str] = []
    web.invite(said.append)
    assert said == [f"web: http://127.0.0.1:{web.port}/"]


def test_page_asks_nothing_of_other_servers() -> None:
    folder = Path(handler.__file__).parent / "static"
    for path in folder.iterdir():
        for found in re.findall(r"(?:https?:)?//[^\s\"'`)]+", path.read_text()):
            assert (
                found.startswith(("http://www.w3.org/", "// ", "//")) and "." not in found.split("/")[2]
            ) or "w3.org" in found


def luminance(color: str) -> float:
    color = "".join(c * 2 for c in color[1:]) if len(color) == 4 else color[1:]
    parts = [int(color[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_contrast_of_text_in_both_color_schemes() -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1."""
    text = (Path(handler.__file__).parent / "static" / "style.css").read_text()
    schemes = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", block))
        for block in text.split("@media (prefers-color-scheme")[:2]
    ]
    assert len(schemes) == 2
    for colors in schemes:
        for ink, paper in [
            (i, p) for i in ("ink", "quiet", "bad", "good", "warn", "accent") for p in ("card", "page")
        ] + [("on-accent", "accent")]:
            light, dark = sorted((luminance(colors[ink]), luminance(colors[paper])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper)


def test_colors_of_faces_are_the_same_in_picture_and_list() -> None:
    script = (Path(handler.__file__).parent / "static" / "app.js").read_text()
    (block,) = re.findall(r"const FACES = \[(.*?)\];", script, re.DOTALL)
    colors = ["#{:02x}{:02x}{:02x}".format(*color) for color in annotate.COLORS]
    assert re.findall(r"#[0-9a-f]{6}", block) == colors
    expressions = re.findall(r"#[0-9a-f]{6}", script.partition("const COLORS")[2].partition("const FACES")[0])
    assert len(set(colors + expressions)) == len(colors) + len(expressions) >= 16  # no color means two things
    ink = luminance("#{:02x}{:02x}{:02x}".format(*annotate.INK))
    for color in colors:  # the words on it are readable (WCAG 2.2, 1.4.3)
        assert (luminance(color) + 0.05) / (ink + 0.05) >= 4.5, color


def test_pictures_are_made_only_for_those_who_watch(serve: Serve, astronaut: RgbImage) -> None:
    web = serve(max_fps=60)
    for index in range(20):
        web.publish(a_reading(astronaut, index))
    assert web.live.encoded == 0
    assert ask(web.port, "GET", "/snapshot.jpg")[0] == 200
    assert ask(web.port, "GET", "/snapshot.jpg")[0] == 200
    assert web.live.encoded == 1  # once for all
    ended = threading.Event()

    def publish() -> None:
        index = 20
        while not ended.wait(0.01):
            web.publish(a_reading(astronaut, index))
            index += 1

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        viewers = [socket.create_connection(("127.0.0.1", web.port)) for _ in range(2)]
        for viewer in viewers:
            viewer.sendall(b"GET /stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        files = [viewer.makefile("rb") for viewer in viewers]
        pictures = []
        for file in files:
            while len(pictures) % 5 or not pictures:
                line = file.readline()
                if line.lower().startswith(b"content-length"):
                    assert file.readline() == b"\r\n"
                    pictures.append(helpers.decode_jpeg(file.read(int(line.split(b":")[1]))))
        assert {picture.shape for picture in pictures} == {astronaut.shape}
        for viewer, file in zip(viewers, files, strict=True):
            file.close()
            viewer.close()
        helpers.until(lambda: len(web._server.places) == 0, "the viewers' connections end")
        encoded = web.live.encoded
        before = web.live.latest.number
        helpers.until(lambda: web.live.latest.number > before + 10, "frames go on")
        assert web.live.encoded == encoded
    finally:
        ended.set()
        thread.join()


def test_wide_pictures_are_scaled_with_their_boxes(serve: Serve) -> None:
    web = serve(max_width_px=320)
    image = np.full((720, 1280, 3), 60, np.uint8)
    web.publish(a_reading(image))
    picture = helpers.decode_jpeg(ask(web.port, "GET", "/snapshot.jpg")[2]).astype(int)
    assert picture.shape == (180, 320, 3)
    color = annotate.COLORS[4 - 1]  # of the face with this track
    drawn = np.argwhere(np.abs(picture - color).sum(axis=2) < 100)
    assert drawn[:, 1].min() == pytest.approx(320 * 0.3, abs=4)
    assert drawn[:, 0].max() == pytest.approx(180 * 0.7, abs=4)


def test_events_tell_state_readings_and_the_last_minute(serve: Serve, drawn: RgbImage) -> None:
    web = serve()
    web.status(Status("running", "test", fps=9.5, temperature_c=50.0))
    client = socket.create_connection(("127.0.0.1", web.port), timeout=helpers.WAIT_S)
    client.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    file = client.makefile("rb")

    def event(name: str) -> dict[str, Any]:
        while True:
            if file.readline() == f"event: {name}\n".encode():
                return dict(json.loads(file.readline().removeprefix(b"data: ")))

    first = event("state")
    assert first["status"]["fps"] == 9.5
    assert first["camera"] is True
    web.publish(a_reading(drawn, 7))
    reading = event("reading")
    assert reading["reading"]["frame_index"] == 7
    assert reading["reading"]["faces"][0]["track"] == 4
    assert 0 <= reading["age_s"] < helpers.WAIT_S
    history = event("state")["history"]
    while not history:
        history = event("state")["history"]
    assert history[0]["probabilities"]["happiness"] == 0.8
    client.close()


def test_history_keeps_a_minute(drawn: RgbImage) -> None:
    history = History()
    for second in range(200):
        for _ in range(3):
            history.add(a_reading(drawn, second), float(second))
        if second % 2:
            history.add(FrameReading(Frame(drawn, second, 0.0, "x"), ()), float(second))
    rows = history.rows(200.0)
    assert [row["second"] for row in rows] == list(range(140, 200))
    probabilities = {"happiness": 0.8, "anger": 0.1}
    assert rows[-1] == {"second": 199, "frames": 4, "faces": 0.75, "probabilities": probabilities, "numbers": [4]}
    assert history.rows(1000.0) == []
    face = a_reading(drawn).faces[0]
    crowd = tuple(dataclasses.replace(face, track=number) for number in range(1, 101))
    history.add(FrameReading(Frame(drawn, 0, 0.0, "x"), crowd), 1001.0)
    assert history.rows(1002.0)[-1]["numbers"] == list(range(101 - NUMBERS, 101))  # bounded, whoever passes by
    history.add(FrameReading(Frame(drawn, 0, 0.0, "x"), ()), 1002.0)
    assert history.rows(1003.0)[-1]["numbers"] == []


def test_camera_switch(serve: Serve, pipeline: Pipeline, drawn: RgbImage) -> None:
    desk = Desk(lambda: pipeline)
    web = serve(desk)
    assert ask(web.port, "POST", "/api/camera/stop", b"", OWN)[0] == 202
    assert ask(web.port, "POST", "/api/camera/start", None, OWN)[0] == 202
    assert desk.told == ("stop", "start")
    status, _, answer = ask(web.port, "POST", "/api/camera/stop", b"")
    assert (status, kind_of(answer), desk.told) == (403, "cross_site", ("stop", "start"))
    web.publish(a_reading(drawn))
    web.status(Status("stopped", "test"))
    assert ask(web.port, "GET", "/snapshot.jpg")[0] == 503  # no picture stays behind
    alone = serve(PhotoDesk(lambda: pipeline))
    status, _, answer = ask(alone.port, "POST", "/api/camera/start", b"", OWN)
    assert (status, kind_of(answer)) == (409, "no_camera")


def test_photo_is_read_and_drawn(serve: Serve, astronaut: RgbImage) -> None:
    web = serve()
    status, answer = helpers.post_photo(web.port, helpers.on_its_side(astronaut[:400]))
    assert status == 200
    assert (answer["reading"]["width"], answer["reading"]["height"]) == (512, 400)
    assert len(answer["reading"]["faces"]) == 1
    assert "path" not in answer["reading"] or answer["reading"]["path"] is None
    import base64

    picture = helpers.decode_jpeg(base64.b64decode(answer["picture"].removeprefix("data:image/jpeg;base64,")))
    assert picture.shape == (400, 512, 3)


def test_blur_holds_everywhere(serve: Serve, astronaut: RgbImage, blazeface: BlazeFace) -> None:
    import base64

    (face,) = blazeface.detect(astronaut)
    read = FaceReading(face, "happiness", {"happiness": 1.0})
    web = serve(blur=True)
    _, answer = helpers.post_photo(web.port, helpers.jpeg(astronaut))
    photo = helpers.decode_jpeg(base64.b64decode(answer["picture"].partition(",")[2]))
    assert blazeface.detect(np.ascontiguousarray(photo)) == []
    web.publish(FrameReading(Frame(astronaut, 0, time.monotonic(), "x"), (read,)))
    live = helpers.decode_jpeg(ask(web.port, "GET", "/snapshot.jpg")[2])
    assert blazeface.detect(np.ascontiguousarray(live)) == []
    # the detector missed it in the next frame: it stays blurred
    web.publish(FrameReading(Frame(astronaut, 1, time.monotonic(), "x"), ()))
    missed = helpers.decode_jpeg(ask(web.port, "GET", "/snapshot.jpg")[2])
    assert blazeface.detect(np.ascontiguousarray(missed)) == []
    sharp = serve()
    sharp.publish(FrameReading(Frame(astronaut, 0, time.monotonic(), "x"), ()))
    assert (
        len(blazeface.detect(np.ascontiguousarray(helpers.decode_jpeg(ask(sharp.port, "GET", "/snapshot.jpg")[2]))))
        == 1
    )


def test_metrics_alone(serve: Serve, drawn: RgbImage) -> None:
    metrics = MetricsSink()
    web = serve(metrics=metrics, page=False)
    metrics.publish(a_reading(drawn))
    status, headers, content = ask(web.port, "GET", "/metrics")
    assert (status, headers["content-type"]) == (200, CONTENT_TYPE)
    assert b"fer_edge_frames_total 1\n" in content
    for path in ("/", "/stream.mjpeg", "/events", "/snapshot.jpg", "/api/status"):
        assert ask(web.port, "GET", path)[0] == 404
    assert ask(serve().port, "GET", "/metrics")[0] == 404


def test_metrics_of_a_run_say_what_runs_and_know_every_label(bundle: Bundle) -> None:
    source = ("--source", "synthetic://?n=100000", "--rate", 5, "--bundle", bundle.path)
    with helpers.fer_edge("run", *source, "--metrics", "--web-port", 0, "--variant", "float32") as (_, url):
        port = int(url.rstrip("/").rpartition(":")[2])
        content = ask(port, "GET", "/metrics")[2].decode()
    (info,) = (line for line in content.splitlines() if line.startswith("fer_edge_build_info{"))
    manifest = bundle.manifest
    detector = manifest.find_detector().id
    for label in (f'model="{manifest.model_id}"', f'model_version="{manifest.version}"', 'variant="float32"',
                  f'detector="{detector}"', 'version="'):  # fmt: skip
        assert label in info, info
    for label in manifest.labels:
        assert f'fer_edge_faces_total{{expression="{label}"}} ' in content


# -- who may ask


def test_token_on_every_address_but_our_own(serve: Serve, tmp_path: Path, astronaut: RgbImage) -> None:
    secret = "0123456789abcdef-of-a-test"
    (tmp_path / "token").write_text(secret + "\n")
    web = serve(address="0.0.0.0", token_file=str(tmp_path / "token"))
    said: list[str] = []
    web.invite(said.append)
    assert said == [f"web: {web.url} (token: in {tmp_path / 'token'})"]
    wrong: tuple[dict[str, str], ...] = (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {secret}"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {secret}x"},
        {"Cookie": f"fer_edge_0={secret}"},
        {"Cookie": "fer_edge_0="},
        {"Cookie": '"\\";;=,fer_edge_0'},
    )
    for path in ("/metrics", "/events", "/stream.mjpeg", "/snapshot.jpg", "/api/status", "/app.js", "/nowhere"):
        for headers in wrong:
            status, _, answer = ask(web.port, "GET", path, None, headers)
            assert (status, kind_of(answer)) == (401, "token_required"), (path, headers)
    for path in ("/api/photo", "/api/camera/stop", "/nowhere"):
        status, _, answer = ask(web.port, "POST", path, b"x", OWN)
        assert (status, kind_of(answer)) == (401, "token_required")
    status, headers, page = ask(web.port, "GET", "/")
    assert status == 401
    assert b'action="login"' in page
    assert "set-cookie" not in headers
    assert ask(web.port, "GET", "/?token=wrong")[0] == 401
    status, headers, _ = ask(web.port, "GET", f"/?token={secret}")
    assert (status, headers["location"]) == (303, "./")
    cookie, *attributes = headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Max-Age=2592000"} == set(attributes)  # the path is the page's own
    assert secret not in cookie
    for good in ({"Cookie": f"a=b; {cookie}"}, {"Authorization": f"Bearer {secret}"}):
        assert ask(web.port, "GET", "/api/status", None, good)[0] == 200
        assert helpers.post_photo(web.port, helpers.jpeg(astronaut), good | OWN)[0] == 200
        status, _, answer = ask(web.port, "POST", "/api/photo", b"x", good)
        assert (status, kind_of(answer)) == (403, "cross_site")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert ask(web.port, "POST", "/login", f"token={secret}".encode(), form)[0] == 303
    assert ask(web.port, "POST", "/login", b"token=wrong", form)[0] == 401
    status, _, answer = ask(web.port, "POST", "/login", b"token=x", form | {"Origin": "http://evil.example"})
    assert (status, kind_of(answer)) == (403, "cross_site")


def test_tokens(tmp_path: Path) -> None:
    assert len(Token().text) >= 32
    assert Token().text != Token().text
    token = Token("a-token-that-is-long")
    assert token.matches("a-token-that-is-long")
    assert not token.matches("")
    assert not token.matches("ä" * 20)
    for bad in ("short", "x" * 513, "ü" * 20, "a b\tc" * 9):
        with pytest.raises(UsageError, match="token"):
            Token(bad)
    for address, own in (("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
                         ("192.168.1.2", False), ("pi.local", False), ("", False)):  # fmt: skip
        assert is_own_address(address) is own


def test_hosts_against_rebinding(serve: Serve) -> None:
    web = serve(hosts=("camera.example.org",))
    good = (
        "localhost",
        "127.0.0.1",
        f"127.0.0.1:{web.port}",
        "[::1]:80",
        "192.168.1.20:8080",
        socket.gethostname(),
        "Camera.example.org",
    )
    bad = (
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "a@127.0.0.1",
        "[::1",
        "x" * 300,
        "camera.example.org.",
    )
    for host in good:
        assert ask(web.port, "GET", "/api/status", None, {"Host": host})[0] == 200, host
        assert host_is_known(host, ("camera.example.org",))
    for host in bad:
        status, _, answer = ask(web.port, "GET", "/api/status", None, {"Host": host})
        assert (status, kind_of(answer)) == (421, "unknown_host"), host
    assert b" 421 " in raw(web.port, b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
    assert b" 421 " in raw(web.port, b"GET / HTTP/1.1\r\n\r\n")


def headers_of(**values: str) -> Message:
    message = Message()
    for name, value in values.items():
        message[name.replace("_", "-")] = value
    return message


def test_other_sites_pages_are_refused(serve: Serve, drawn: RgbImage) -> None:
    web = serve()
    web.publish(a_reading(drawn))
    for site in ("cross-site", "same-site"):
        status, _, answer = ask(web.port, "GET", "/snapshot.jpg", None, {"Sec-Fetch-Site": site})
        assert (status, kind_of(answer)) == (403, "cross_site")
    assert ask(web.port, "GET", "/", None, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})[0] == 200
    host = f"127.0.0.1:{web.port}"
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{web.port + 1}"):
        status, _, answer = ask(web.port, "POST", "/api/camera/stop", b"", OWN | {"Origin": origin, "Host": host})
        assert (status, kind_of(answer)) == (403, "cross_site"), origin
    assert ask(web.port, "POST", "/api/camera/stop", b"", OWN | {"Origin": f"http://{host}", "Host": host})[0] == 202
    status, headers, _ = ask(web.port, "OPTIONS", "/api/photo", None, {"Origin": "http://evil.example"})
    assert status == 501
    assert not [name for name in headers if name.startswith("access-control")]
    assert not is_cross_site(headers_of(), navigates=False)
    assert not may_change(headers_of(Host="a"))
    assert may_change(headers_of(Host="a", X_Fer_Edge="1"))


# -- hostile clients


def test_path_tricks_lead_nowhere(serve: Serve) -> None:
    web = serve()
    paths = ("/../../etc/passwd", "/static/../handler.py", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/login.html")
    paths += ("/app.js/..%2f..", "/app.js%00.html", "/.git/config", "file:///etc/passwd", "*")
    for path in (*paths, "http://evil.example/", "/?/../"):
        answer = raw(web.port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert b"root:" not in answer
        status = int(answer.split()[1])
        assert status == (200 if path in ("/?/../", "http://evil.example/") else 404), path


POST = b"POST /api/photo HTTP/1.1\r\nHost: localhost\r\nX-Fer-Edge: 1\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20_000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 150 + b"\r\n", 431),
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(1, 120)) + b"\r\n\r\n", 400),
        (b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
        (POST + b"\r\n", 411),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        (POST + b"Content-Length: -5\r\n\r\n", 400),
        (POST + b"Content-Length: 1e9\r\n\r\n", 400),
        (POST + b"Content-Length: 99999999999\r\n\r\n", 413),
        (b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n", 413),
    ],
)  # fmt: skip
def test_requests_that_are_none(serve: Serve, request_: bytes, status: int) -> None:
    web = serve()
    answer = raw(web.port, request_)
    assert int(answer.split()[1]) == status
    assert kind_of(answer.partition(b"\r\n\r\n")[2])
    assert ask(web.port, "GET", "/")[0] == 200


def test_upload_is_limited_before_it_is_taken(serve: Serve) -> None:
    web = serve(max_upload_bytes=100_000)
    status, answer = helpers.post_photo(web.port, bytes(100_001))
    assert (status, answer["error"]["kind"]) == (413, "too_large")
    refused = raw(web.port, b"POST /api/photo HTTP/1.1\r\nHost: localhost\r\nX-Fer-Edge: 1\r\nExpect: 100-continue\r\n"
                            b"Content-Length: 100001\r\n\r\n")  # fmt: skip
    assert refused.startswith(b"HTTP/1.1 413 ")  # and no "100 Continue" before it
    taken = raw(web.port, b"POST /api/photo HTTP/1.1\r\nHost: localhost\r\nX-Fer-Edge: 1\r\nExpect: 100-continue\r\n"
                          b"Connection: close\r\nContent-Length: 5\r\n\r\nhello")  # fmt: skip
    assert taken.startswith(b"HTTP/1.1 100 ")
    assert b" 415 " in taken


@pytest.mark.bound("REQUEST_S", "UPLOAD_S")
def test_slow_clients_are_cut_off_and_hold_up_nobody(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "REQUEST_S", 1.0)
    monkeypatch.setattr(bounds, "UPLOAD_S", 1.0)
    web = serve()
    clients = []
    for _ in range(8):
        headers = socket.create_connection(("127.0.0.1", web.port))
        headers.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        clients.append(headers)
    upload = socket.create_connection(("127.0.0.1", web.port))
    upload.sendall(POST + b"Content-Length: 1000\r\n\r\n")
    ended = threading.Event()

    def drip() -> None:  # a byte now and then: the deadline is the request's, not the byte's
        while not ended.wait(0.1):
            for client in (*clients, upload):
                try:
                    client.sendall(b"X")
                except OSError:
                    continue

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        assert ask(web.port, "GET", "/")[0] == 200
        helpers.until(lambda: len(web._server.places) == 0, "all slow clients are cut off")
    finally:
        ended.set()
        thread.join()
    for client in (*clients, upload):
        client.close()


def test_too_many_connections_are_closed_at_once(serve: Serve) -> None:
    web = serve()
    clients = [socket.create_connection(("127.0.0.1", web.port)) for _ in range(60)]
    places = web._server.places
    helpers.until(lambda: places.refused + places.given_up >= 60 - bounds.MAX_FROM_ONE, "the rest is closed")
    assert len(places) <= bounds.MAX_FROM_ONE
    for client in clients:
        client.close()
    helpers.until(lambda: len(web._server.places) == 0, "their places are free again")
    assert ask(web.port, "GET", "/")[0] == 200


@pytest.mark.bound("WRITE_S")
def test_viewer_that_never_reads(serve: Serve, astronaut: RgbImage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "WRITE_S", 0.5)
    web = serve(max_fps=60)
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", web.port))
    deaf.sendall(b"GET /stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n")
    longest_s, index = 0.0, 0
    noise = np.random.default_rng(1).integers(0, 256, (480, 640, 3), dtype=np.uint8)  # large pictures
    while not web.dropped:
        started = time.monotonic()
        web.publish(a_reading(noise, index))
        longest_s = max(longest_s, time.monotonic() - started)
        index += 1
        time.sleep(0.02)
        assert index < 3000, "never cut off"
    assert longest_s < 0.4  # less than the viewer was waited for
    helpers.until(lambda: len(web._server.places) == 0, "its connection ends")
    assert ask(web.port, "GET", "/snapshot.jpg")[0] == 200
    deaf.close()


def test_too_many_viewers(serve: Serve, drawn: RgbImage) -> None:
    web = serve(max_viewers=1)
    web.publish(a_reading(drawn))
    viewers = []
    for _ in range(2):
        viewer = socket.create_connection(("127.0.0.1", web.port))
        viewer.sendall(b"GET /stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert viewer.recv(15) == b"HTTP/1.1 200 OK"
        viewers.append(viewer)
    status, headers, answer = ask(web.port, "GET", "/events")
    assert (status, kind_of(answer), headers["retry-after"]) == (503, "too_many_viewers", "2")
    for viewer in viewers:
        viewer.close()
    helpers.until(lambda: ask(web.port, "HEAD", "/events")[0] == 200, "their places are free again")


def test_two_hundred_hostile_files(bundle: Bundle, astronaut: RgbImage, tmp_path: Path) -> None:
    files = hostile_files(astronaut[:256, 64:320])
    assert len(files) == 200
    for name in ("cwd", "home", "tmp"):
        (tmp_path / name).mkdir()
    environment = os.environ | {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    import sys

    line = (
        sys.executable,
        "-m",
        "fer_edge.cli",
        "web",
        "--port",
        "0",
        "--bundle",
        bundle.path.resolve(),
        "--threads",
        "1",
    )
    program = helpers.Program(*line, cwd=tmp_path / "cwd", env=environment)
    kinds: dict[str, int] = {}
    try:
        port = int(program.line("http://").rstrip("/").rpartition(":")[2])
        for name, content in files.items():
            status, answer = helpers.post_photo(port, content)
            assert status in (200, 413, 415, 422), (name, status, answer)
            kind = answer["error"]["kind"] if status != 200 else "read"
            assert kind in ("read", "too_large", "wrong_type", "bad_image"), name
            if status != 200:
                message = answer["error"]["message"]
                assert message.startswith("photo"), (name, message)
                assert "\n" not in message
            kinds[kind] = kinds.get(kind, 0) + 1
        assert helpers.post_photo(port, helpers.jpeg(astronaut))[0] == 200  # it still reads
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{program.process.pid}/status").read_text())
        assert peak
        assert int(peak[1]) < 900_000, "a bomb went off"
    finally:
        assert program.end() == 0
    assert kinds.keys() == {"read", "too_large", "wrong_type", "bad_image"}, kinds
    assert [str(path) for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not [text for text in program.lines if "Traceback" in text]


def test_sizes_are_known_before_anything_is_decoded(astronaut: RgbImage) -> None:
    photo = astronaut[:200, 100:400]
    for kind, content in encoded(photo).items():
        expected = "jpeg" if kind in ("jpg", "progressive") else kind
        assert check_photo(content, 10**7, 60_000) == expected, kind
        with pytest.raises(TooLarge, match="300 x 200"):
            check_photo(content, 10**7, 59_999)
        with pytest.raises(TooLarge, match="bytes"):
            check_photo(content, len(content) - 1, 60_000)
        for cut in range(18):
            with pytest.raises(ImageError):
                check_photo(content[:cut], 10**7, 60_000)
    with pytest.raises(ImageError, match="scans"):
        check_photo(many_scans(encoded(photo)["progressive"], 70), 10**7, 10**7)


# -- settings and the command


def test_settings_that_cannot_be_used(serve: Serve, tmp_path: Path) -> None:
    for change in ({"port": 70_000}, {"max_fps": 0}, {"jpeg_quality": 101}, {"max_viewers": 0}):
        with pytest.raises(SchemaError, match=rf"^{next(iter(change))}: found"):
            WebSettings(**change)
    with pytest.raises(UsageError, match=r"203\.0\.113\.9"):
        serve(address="203.0.113.9")
    with pytest.raises(UsageError, match="secret"):
        serve(token_file=str(tmp_path / "absent"))
    web = serve()
    with pytest.raises(UsageError, match="in use"):
        serve(port=web.port)


def test_web_command_ends_by_signal(
    edge: Callable[..., subprocess.CompletedProcess[str]], bundle: Bundle, one_line: Any
) -> None:
    with helpers.fer_edge("web", "--port", 0, "--bundle", bundle.path) as (program, url):
        port = int(url.rstrip("/").rpartition(":")[2])
        assert ask(port, "GET", "/")[0] == 200
        assert json.loads(ask(port, "GET", "/api/status")[2])["camera"] is False
        one_line(edge("web", "--port", port, "--bundle", bundle.path), "in use", str(port))
        assert program.end() == 0
    one_line(edge("web", "--address", "203.0.113.9", "--bundle", bundle.path), "203.0.113.9")


def test_names_that_are_no_utf8_reach_the_page(serve: Serve, drawn: RgbImage) -> None:
    """A clip's name may be any bytes; Python keeps them as lone surrogates, which UTF-8 does not have."""
    name = "file:///caf\udce9.mp4"
    web = serve()
    web.status(Status("waiting", name, reason=f"{name}: gone"))
    reading = a_reading(drawn)
    web.publish(FrameReading(Frame(drawn, 0, 0.0, name), reading.faces))
    status, _, answer = ask(web.port, "GET", "/api/status")
    assert status == 200
    assert json.loads(answer)["status"]["source"] == name
    with socket.create_connection(("127.0.0.1", web.port), timeout=20) as client:
        client.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        content = b""
        while content.count(b"\n\n") < 2 and (part := client.recv(65536)):
            content += part
    events = [line for line in content.splitlines() if line.startswith(b"data: ")]
    assert json.loads(events[0].removeprefix(b"data: "))["status"]["reason"] == f"{name}: gone"
    assert json.loads(events[1].removeprefix(b"data: "))["reading"]["source"]
