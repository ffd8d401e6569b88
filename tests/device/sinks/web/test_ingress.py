"""The page behind the add-on's own nginx, as Home Assistant's ingress asks it: other host and origin, one peer."""

from __future__ import annotations

import http.client
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import web_helpers as helpers

from fer_edge.types import RgbImage

CONFIG = Path(__file__).parents[4] / "device/addon/nginx.conf"
BROWSER = {
    "Host": "homeassistant.local:8123",
    "Origin": "http://homeassistant.local:8123",
    "Sec-Fetch-Site": "same-origin",
    "X-Ingress-Path": "/api/hassio_ingress/abc",
}


@pytest.fixture
def ingress(tmp_path: Path) -> Iterator[int]:
    """The port of an nginx with the add-on's configuration, only that 127.0.0.1 is Home Assistant here."""
    program, port = helpers.needs("nginx"), helpers.free_port()
    with helpers.site(frame_ancestors=("self",)) as web:
        text = CONFIG.read_text()
        for ours, here in {
            "listen 8099": f"listen 127.0.0.1:{port}",
            "172.30.32.2": "127.0.0.1",
            "127.0.0.1:8080": f"127.0.0.1:{web.port}",
            "/tmp/": f"{tmp_path}/",
        }.items():
            assert ours in text
            text = text.replace(ours, here)
        user = "user root;" if os.geteuid() == 0 else ""  # another could not write to this folder
        (tmp_path / "nginx.conf").write_text(f"daemon off; {user}\n{text}")
        process = subprocess.Popen([program, "-c", str(tmp_path / "nginx.conf")], stderr=subprocess.DEVNULL)
        try:
            helpers.until(lambda: _listens(port), "nginx listens")
            yield port
        finally:
            process.terminate()
            process.wait(30)


def _listens(port: int) -> bool:
    try:
        http.client.HTTPConnection("127.0.0.1", port, timeout=5).connect()
    except OSError:
        return False
    return True


def ask(port: int, method: str, path: str, body: bytes | None = None, **more: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {**BROWSER, **{name.replace("_", "-"): value for name, value in more.items()}}
    connection.request(method, path, body, {name: value for name, value in headers.items() if value})
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def test_the_page_is_shown_in_home_assistants_frame_without_a_token(ingress: int) -> None:
    status, headers, body = ask(ingress, "GET", "/")
    assert status == 200
    assert headers["Content-Security-Policy"].endswith("frame-ancestors 'self'")
    assert "X-Frame-Options" not in headers
    assert b'src="app.js' in body  # found below whatever path the ingress gives
    assert ask(ingress, "GET", "/api/status")[0] == 200


def test_it_reads_a_photo_from_our_page_alone(ingress: int, drawn: RgbImage) -> None:
    photo = helpers.jpeg(drawn)
    kind = {"Content_Type": "image/jpeg"}
    assert (
        ask(ingress, "POST", "/api/photo", photo, X_Fer_Edge="1", **kind)[0] == 422
    )  # it came to the reader, which reads none here
    assert ask(ingress, "POST", "/api/photo", photo, **kind)[0] == 403
    assert ask(ingress, "POST", "/api/photo", photo, X_Fer_Edge="1", Sec_Fetch_Site="cross-site", **kind)[0] == 403


def test_nobody_but_home_assistant_may_connect() -> None:
    lines = [line.strip() for line in CONFIG.read_text().splitlines()]
    allowed = [line for line in lines if line.startswith(("allow ", "deny "))]
    assert allowed == ["allow 172.30.32.2;", "deny all;"]
