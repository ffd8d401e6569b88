"""What a camera is asked for: size, rate and how it is mounted, checked before any device is touched."""

from __future__ import annotations

from dataclasses import dataclass

from fer_edge.errors import SourceError
from fer_edge.sources.upright import UPRIGHT, from_options
from fer_edge.sources.uri import SourceUri


@dataclass(frozen=True)
class CameraOptions:
    """A request: size in px, rate in frames per second, and how the picture lies (EXIF code, see ``upright``)."""

    width: int = 640
    height: int = 480
    fps: int = 30
    orientation: int = UPRIGHT


def camera_options(uri: SourceUri) -> CameraOptions:
    """Takes the options of a camera's URI.

    Raises:
        SourceError: out of range; says the option, what was found and what is expected.
    """
    given = uri.options
    wanted = CameraOptions(
        width=given.get("width", 640),
        height=given.get("height", 480),
        fps=given.get("fps", 30),
        orientation=from_options(given, uri.text),
    )
    for key in ("width", "height"):
        value = getattr(wanted, key)
        if not 64 <= value <= 4096 or value % 2:
            raise SourceError(f"source {uri.text}: {key} is {value}, expected an even number from 64 to 4096")
    if wanted.fps > 240:
        raise SourceError(f"source {uri.text}: fps is {wanted.fps}, expected 1 to 240")
    return wanted


def camera_number(uri: SourceUri) -> int:
    """The camera's number in ``csi://1`` or ``argus://1``; 0 where none is given.

    Raises:
        SourceError: no small whole number.
    """
    if uri.path == "":
        return 0
    if not uri.path.isdecimal() or not uri.path.isascii() or len(uri.path) > 9 or int(uri.path) > 15:
        raise SourceError(f"source {uri.text}: camera {uri.path!r}, expected its number, e.g. {uri.scheme}://0")
    return int(uri.path)


def differences(wanted: CameraOptions, width: int, height: int, fps: float) -> str:
    """What the camera gives although something else was asked for, to be said; empty where all is as asked."""
    changed = []
    if (width, height) != (wanted.width, wanted.height):
        changed.append(f"{wanted.width}x{wanted.height}")
    if fps and abs(fps - wanted.fps) > 0.5:
        changed.append(f"{wanted.fps} fps")
    return f" (asked for {', '.join(changed)})" if changed else ""
