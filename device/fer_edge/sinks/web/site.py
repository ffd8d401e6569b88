"""What all connections of the web server share: settings, files of the page, token, slots, what is going on."""

from __future__ import annotations

import dataclasses
import threading
import time
from importlib import resources
from typing import Any

from fer_edge.contract import bounds, codec
from fer_edge.contract.reading import SCHEMA
from fer_edge.sinks.metrics import MetricsSink
from fer_edge.sinks.running import Running
from fer_edge.sinks.web import guard
from fer_edge.sinks.web.controls import Controls
from fer_edge.sinks.web.live import Live
from fer_edge.sinks.web.settings import WebSettings
from fer_edge.types import FrameReading

STATIC = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
OPEN = ("/style.css", "/icon.svg")  # what the page that asks for the token needs


def static_file(name: str) -> bytes:
    """A file of the page, which is package data."""
    return resources.files("fer_edge.sinks.web").joinpath("static", name).read_bytes()


class Site:
    """What all connections share.

    Args:
        settings: of the page.
        controls: the camera's switch and the reader of photos.
        live: newest reading, status, last minute.
        token: what visitors have to know; None where only this machine can reach the page.
        metrics: given out at /metrics; None for none.
        page: False serves /metrics alone.
        running: what reads, for the page to say.
    """

    settings: WebSettings
    controls: Controls
    live: Live
    metrics: MetricsSink | None
    page: bool
    cookie_name: str
    files: dict[str, tuple[bytes, str]]
    login: bytes

    def __init__(
        self,
        settings: WebSettings,
        controls: Controls,
        live: Live,
        token: guard.Token | None,
        metrics: MetricsSink | None,
        page: bool = True,
        running: Running | None = None,
    ) -> None:
        self.settings, self.controls, self.live, self.token = settings, controls, live, token
        self.metrics, self.page, self.cookie_name = metrics, page, f"fer_edge_{settings.port}"
        self.running = running
        self.files = {path: (static_file(name), kind) for path, (name, kind) in STATIC.items()}
        self.login = static_file("login.html")
        self.photo_slots = threading.BoundedSemaphore(bounds.PHOTOS_AT_A_TIME)
        self.viewer_slots = threading.BoundedSemaphore(
            2 * settings.max_viewers
        )  # a picture and a stream of events each
        self.stalled = 0  # viewers that stopped reading

    def state(self) -> dict[str, Any]:
        """What the page shows beside the picture, as JSON values."""
        now = time.monotonic()
        status = self.live.last_status
        return {
            "camera": self.controls.has_camera,
            "blur": self.settings.blur,
            "running": None if self.running is None else dataclasses.asdict(self.running),
            "status": None if status is None else dataclasses.asdict(status),
            "for_s": None if status is None else round(now - status.since_s, 1),
            "history": self.live.history.rows(now),
            "now_s": int(now),
            "max_upload_bytes": self.settings.max_upload_bytes,
        }


def document(reading: FrameReading) -> dict[str, Any]:
    """A reading as its JSON document. A photo's name and place are not known here."""
    encoded: dict[str, Any] = {"schema": SCHEMA, **codec.encode(reading.to_doc())}
    return encoded
