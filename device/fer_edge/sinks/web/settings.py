"""Settings of the web page."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from fer_edge.errors import UsageError
from fer_edge.sinks.web.policy import checked_origins


@dataclass(frozen=True)
class WebSettings:
    """The ``[web]`` table.

    Args:
        enabled: serve the page.
        address: to listen on; any but this machine's own (127.0.0.1, ::1) asks visitors for a token.
        port: to listen on; 0 takes a free one.
        token_file: file whose first line is the token; "" makes one: shown once on a terminal, without one kept in the
            state folder (service: /var/lib/fer-edge/web-token).
        hosts: further names under which the page may be called, e.g. ``("pi.example.org",)``.
        frame_ancestors: origins whose pages may show this one in a frame, e.g. ``("http://homeassistant.local:8123",)``.
        blur: blur faces in every picture that is shown or sent.
        max_fps: pictures a second that are encoded while somebody watches.
        max_width_px: the live picture is scaled down to this.
        jpeg_quality: of pictures sent, 1 to 100.
        max_upload_bytes: largest photo taken.
        max_upload_pixels: largest photo taken, in px.
        max_viewers: pages that may watch at a time.
    """

    enabled: bool = False
    address: str = "127.0.0.1"
    port: int = 8080
    token_file: str = ""
    hosts: tuple[str, ...] = ()
    frame_ancestors: tuple[str, ...] = ()
    blur: bool = False
    max_fps: float = 12.0
    max_width_px: int = 640
    jpeg_quality: int = 75
    max_upload_bytes: int = 20_000_000
    max_upload_pixels: int = 50_000_000
    max_viewers: int = 4


def checked(settings: WebSettings) -> WebSettings:
    """The settings, if they can be used; origins in lower case.

    Raises:
        UsageError: says which cannot, and why.
    """
    limits = {
        "port": (0, 65_535),
        "max_fps": (0.1, 60),
        "max_width_px": (64, 4096),
        "jpeg_quality": (1, 100),
        "max_upload_bytes": (1, 200_000_000),
        "max_upload_pixels": (1, 100_000_000),
        "max_viewers": (1, 32),
    }
    for key, (low, high) in limits.items():
        value = getattr(settings, key)
        if not low <= value <= high:
            raise UsageError(f"web.{key}: found {value}, expected {low:,} to {high:,}")
    for name in settings.hosts:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,253}", name):
            raise UsageError(
                f"web.hosts: found {name!r}, expected a name such as pi.example.org, without http:// and port"
            )
    return dataclasses.replace(settings, frame_ancestors=checked_origins(settings.frame_ancestors))
