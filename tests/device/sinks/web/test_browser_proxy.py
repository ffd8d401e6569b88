"""The page behind a real nginx, below a sub-path, in the frames of other pages, in a real Chromium; token included."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import web_helpers as helpers
from browser_helpers import chromium, next_reading, no_complaints, pixels, text, wait_for_picture, wait_for_text

from fer_edge.types import RgbImage

BUNDLE = os.environ.get("FER_TEST_BUNDLE", "")
PAGE = Path(__file__).parents[4] / "docs" / "page.md"
TOKEN = "0123456789abcdef-of-a-test"
pytestmark = pytest.mark.skipif(not BUNDLE, reason="no bundle: set FER_TEST_BUNDLE (make test does)")


class Proxy:
    """An nginx of our own: ``url`` is the page below /fer/, ``frame_url`` another origin's page with it in a frame."""

    def __init__(self, folder: Path, page_port: int, tls: bool = False) -> None:
        program, self.folder = helpers.needs("nginx"), folder
        self.scheme = "https" if tls else "http"
        ports = helpers.free_port(), helpers.free_port()
        self.origin, self.url = f"{self.scheme}://localhost:{ports[1]}", f"{self.scheme}://127.0.0.1:{ports[0]}/fer/"
        self.frame_url = f"{self.origin}/frame.html"
        (folder / "www").mkdir()
        page = f'<!doctype html><title>hub</title><iframe id="f" width="1000" height="900" src="{self.url}"></iframe>'
        (folder / "www" / "frame.html").write_text(page)
        (block,) = re.findall(r"```nginx\n(.*?)```", PAGE.read_text(), re.DOTALL)  # as the manual shows it
        block = block.replace("127.0.0.1:8080", f"127.0.0.1:{page_port}")
        secure = ""
        if tls:
            self._make_certificate()
            secure = f"ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;"
        temporary = "".join(
            f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        listen = [f"listen 127.0.0.1:{port}{' ssl' if tls else ''};" for port in ports]
        (folder / "nginx.conf").write_text(f"""
            daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
            events {{ worker_connections 128; }}
            http {{
              access_log {folder}/access.log; {temporary} {secure}
              types {{ text/html html; }}
              server {{ {listen[0]} {block} }}
              server {{ {listen[1]} root {folder}/www; }}
            }}""")
        self.process = subprocess.Popen([program, "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL)
        self.port = ports[0]
        helpers.until(self._listens, "nginx listens")

    def _make_certificate(self) -> None:
        line = [helpers.needs("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        line += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem"]
        subprocess.run(line, check=True, capture_output=True, cwd=self.folder)

    def _listens(self) -> bool:
        import socket

        assert self.process.poll() is None, (self.folder / "error.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@contextmanager
def proxied(folder: Path, clip: Path, tls: bool = False, frames: bool = False, token: bool = False) -> Iterator[Proxy]:
    """``fer-edge run`` with its page behind a proxy; where ``frames``, the proxy's other origin may frame it."""
    port = helpers.free_port()
    proxy = Proxy(folder, port, tls)
    line: list[object] = ["--source", clip, "--loop", "--realtime", "--bundle", BUNDLE, "--web", "--web-port", port]
    if frames:
        line += ["--web-frame-ancestors", proxy.origin]
    if token:
        (folder / "token").write_text(TOKEN)
        line += ["--web-token-file", folder / "token"]
    try:
        with helpers.fer_edge("run", *line):
            yield proxy
    finally:
        proxy.end()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium("ignore-certificate-errors") as driver:
        yield driver


@pytest.fixture(scope="module")
def clip(astronaut: RgbImage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "still.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (512, 512))
    for _ in range(30):
        writer.write(astronaut[:, :, ::-1])
    writer.release()
    return path


def sign_in(browser: Any) -> None:
    helpers.until(lambda: browser.title == "fer-edge: token", "the token is asked for")
    browser.find_element("id", "token").send_keys("not-the-token-at-all")
    browser.find_element("css selector", "button").click()
    helpers.until(lambda: "not the token" in browser.page_source, "the wrong token is refused")
    browser.find_element("id", "token").send_keys(TOKEN)
    browser.find_element("css selector", "button").click()


def title_in(browser: Any) -> str:
    """Of the document that the driver is in; a frame has one of its own."""
    return str(browser.execute_script("return document.title"))


def test_everything_works_below_a_sub_path(browser: Any, clip: Path, tmp_path: Path, astronaut: RgbImage) -> None:
    with proxied(tmp_path, clip, token=True) as proxy:
        browser.get(proxy.url.rstrip("/"))
        assert browser.current_url == proxy.url
        sign_in(browser)
        helpers.until(lambda: browser.title == "fer-edge", "the page opens")
        assert browser.current_url == proxy.url
        (cookie,) = browser.get_cookies()
        assert (cookie["path"], cookie["httpOnly"], cookie["sameSite"]) == ("/fer", True, "Strict")
        browser.get_log("browser")  # of the refused token
        wait_for_text(browser, "badge", "live")
        wait_for_picture(browser)
        assert len(next_reading(browser)["faces"]) == 1
        assert (pixels(browser, "picture").shape) == (512, 512, 3)
        style = "return getComputedStyle(document.querySelector('.card')).borderRadius"
        assert browser.execute_script(style) not in ("", "0px")  # the style sheet came
        loaded = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert [name for name in loaded if not name.startswith(proxy.url)] == []
        assert {name.removeprefix(proxy.url).partition("?")[0] for name in loaded} >= {
            "app.js", "style.css", "icon.svg", "stream.mjpeg"}  # fmt: skip
        # a photo, larger than a proxy takes unasked
        noise = np.random.default_rng(1).integers(0, 256, (1400, 1400, 3), dtype=np.uint8)
        noise[:512, :512] = astronaut
        photo = tmp_path / "photo.jpg"
        photo.write_bytes(helpers.jpeg(noise, 95))
        assert photo.stat().st_size > 1_500_000
        browser.find_element("id", "file").send_keys(str(photo))
        helpers.until(lambda: browser.execute_script("return !document.getElementById('result').hidden"), "a result")
        assert text(browser, "found") == "1 face"
        # the switch
        browser.find_element("id", "switch").click()
        wait_for_text(browser, "badge", "camera off")
        browser.find_element("id", "switch").click()
        wait_for_text(browser, "badge", "live")
        no_complaints(browser)
        # the token in the address
        browser.delete_all_cookies()
        browser.get(f"{proxy.url}?token={TOKEN}")
        assert browser.current_url == proxy.url
        wait_for_picture(browser)
        browser.delete_all_cookies()


def test_no_other_page_may_frame_it_by_default(browser: Any, clip: Path, tmp_path: Path) -> None:
    with proxied(tmp_path, clip) as proxy:
        browser.get(proxy.frame_url)
        browser.switch_to.frame("f")
        assert title_in(browser) != "fer-edge"
        browser.switch_to.default_content()
        assert any("frame-ancestors" in entry["message"] for entry in browser.get_log("browser"))


@pytest.mark.parametrize("tls", [False, True])
def test_a_named_origin_may_frame_it(browser: Any, clip: Path, tmp_path: Path, tls: bool) -> None:
    """localhost and 127.0.0.1 are two sites; a frame of another site keeps a cookie over https alone."""
    with proxied(tmp_path, clip, tls=tls, frames=True, token=tls) as proxy:
        browser.get(proxy.frame_url)
        browser.switch_to.frame("f")
        if tls:
            helpers.until(lambda: title_in(browser) == "fer-edge: token", "the token is asked for")
            browser.find_element("id", "token").send_keys(TOKEN)
            browser.find_element("css selector", "button").click()
        helpers.until(lambda: title_in(browser) == "fer-edge", "the page opens")
        wait_for_picture(browser)
        browser.find_element("id", "switch").click()
        wait_for_text(browser, "badge", "camera off")
        browser.switch_to.default_content()
