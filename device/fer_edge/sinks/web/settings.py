"""Settings of the web page."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fer_edge.contract.limits import Limited, checked, within
from fer_edge.contract.redact import url
from fer_edge.errors import UsageError
from fer_edge.sinks.web.policy import checked_origins

_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}")


def _address(value: str) -> str:
    fine = _HOST.fullmatch(value) or re.fullmatch(r"[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?", value)
    return "" if fine else f"found {url(value)!r}, expected an address of this machine, e.g. 127.0.0.1, 0.0.0.0 or ::"


def _hosts(names: tuple[str, ...]) -> str:
    bad = next((name for name in names if not _HOST.fullmatch(name)), None)
    return "" if bad is None else f"found {bad!r}, expected a name such as pi.example.org, without http:// and port"


def _origins(origins: tuple[str, ...]) -> str:
    try:
        checked_origins(origins)
    except UsageError as error:
        return str(error).removeprefix("web.frame_ancestors: ")
    return ""


@dataclass(frozen=True)
class WebSettings(Limited):
    """The ``[web]`` table.

    Args:
        enabled: serve the page.
        address: to listen on; any but this machine's own (127.0.0.1, ::1) asks visitors for a token.
        port: to listen on; 0 takes a free one.
        token_file: file whose first line is the token; "" makes one: shown once on a terminal, without one kept in the
            state folder (service: /var/lib/fer-edge/web-token).
        hosts: further names under which the page may be called, e.g. ``("pi.example.org",)``.
        frame_ancestors: origins whose pages may show this one in a frame, e.g. ``("http://homeassistant.local:8123",)``;
            ``self`` is the one that a proxy shows this page at.
        blur: blur faces in every picture that is shown or sent.
        max_fps: pictures a second that are encoded while somebody watches.
        max_width_px: the live picture is scaled down to this.
        jpeg_quality: of pictures sent, 1 to 100.
        max_upload_bytes: largest photo taken.
        max_upload_pixels: largest photo taken, in px.
        max_viewers: pages that may watch at a time.
    """

    enabled: bool = False
    address: str = checked("127.0.0.1", _address)
    port: int = within(8080, 0, 65535)
    token_file: str = ""
    hosts: tuple[str, ...] = checked((), _hosts)
    frame_ancestors: tuple[str, ...] = checked((), _origins)
    blur: bool = False
    max_fps: float = within(12.0, 0.1, 60)
    max_width_px: int = within(640, 64, 4096)
    jpeg_quality: int = within(75, 1, 100)
    max_upload_bytes: int = within(20_000_000, 1, 200_000_000)
    max_upload_pixels: int = within(50_000_000, 1, 100_000_000)
    max_viewers: int = within(4, 1, 32)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "frame_ancestors", checked_origins(self.frame_ancestors))  # in lower case
