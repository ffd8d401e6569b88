"""Source URIs: ``file:///clip.mp4`` (or a plain path), ``images:///folder``, ``synthetic://``, and cameras.

Cameras: ``csi://0`` (Raspberry Pi's connector), ``v4l2:///dev/video0`` or ``v4l2://usb:046d:0825`` (USB),
``argus://0`` (Jetson's connector), ``rtsp://user:password@host/path`` (network).
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from fer_edge.errors import SourceError
from fer_edge.types import FrameSource

SCHEMES = ("file", "images", "csi", "v4l2", "argus", "rtsp", "synthetic")
CAMERAS = ("csi", "v4l2", "argus", "rtsp")
NAMELESS = ("csi", "argus", "synthetic")  # sources that need no path
OPTIONS = {
    "file": (),
    "images": (),
    "csi": ("width", "height", "fps", "hflip", "vflip", "rotation"),
    "v4l2": ("width", "height", "fps"),
    "argus": ("width", "height", "fps", "hflip", "vflip", "rotation"),
    "rtsp": (),
    "synthetic": ("width", "height", "fps", "n", "faces", "seed"),
}


@dataclass(frozen=True)
class SourceUri:
    """A parsed source: scheme, path (csi and argus: a number; rtsp: the whole URL) and whole-number options.

    ``text`` is what messages and readings show; a password in the source is not in it.
    """

    scheme: str
    path: str
    options: dict[str, int]
    text: str


def parse_uri(text: str) -> SourceUri:
    """Parses a source.

    Raises:
        SourceError: unknown scheme or option, an option that is no whole number, or a missing path.
    """
    if text and "://" not in text:  # a plain path is taken as it is, % and all
        return SourceUri("file", text, {}, f"file://{text}")
    try:
        parts = urlsplit(text.replace("[", "%5B").replace("]", "%5D"))  # brackets are no IPv6 address here
    except ValueError as error:
        raise SourceError(f"source {text!r}: not a URI ({error}); expected a path or e.g. synthetic://") from error
    if parts.scheme not in SCHEMES:
        expected = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise SourceError(f"source {text!r}: unknown scheme {parts.scheme!r}; expected a path or one of {expected}")
    if parts.scheme == "rtsp":
        return _rtsp(text, parts.netloc)
    query = parts.query if OPTIONS[parts.scheme] else ""
    # a file's own name may hold ? and #; only sources that take options read them as such
    path = unquote(parts.netloc + parts.path) if OPTIONS[parts.scheme] else unquote(text.partition("://")[2])
    if not path and parts.scheme not in NAMELESS:
        raise SourceError(f"source {text!r}: names no path; expected e.g. {parts.scheme}:///path")
    options = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in OPTIONS[parts.scheme]:
            known = ", ".join(OPTIONS[parts.scheme])
            raise SourceError(f"source {text!r}: unknown option {key!r}; expected one of {known}")
        if not value.isdecimal() or not 0 < int(value) < 100_000_000:
            raise SourceError(f"source {text!r}: option {key} is {value!r}, expected a whole number above 0")
        options[key] = int(value)
    return SourceUri(parts.scheme, path, options, text)


def _rtsp(text: str, netloc: str) -> SourceUri:
    login, at, host = netloc.rpartition("@")
    if not host.partition(":")[0]:
        raise SourceError("source rtsp://: names no host; expected e.g. rtsp://user:password@192.168.1.20/stream")
    return SourceUri("rtsp", text, {}, text.replace(f"{login}@", "***@", 1) if at else text)


def open_source(text: str, realtime: bool = False, loop: bool = False, rate: float | None = None) -> FrameSource:
    """Opens a source; success means that its first frame can be read.

    Args:
        text: a URI or the path of a clip.
        realtime: play a clip at its own speed and drop what comes too late, instead of reading every frame.
        loop: begin a clip again at its end. (No option in the URI: a file's name may hold ? and #.)
        rate: play a clip or drawn faces at so many frames per second, dropping what comes too late.

    Raises:
        SourceError: it cannot be opened; says why and what is expected.
    """
    uri = parse_uri(text)
    if uri.scheme == "images":
        from fer_edge.sources.images import ImagesSource

        return ImagesSource(uri)
    if uri.scheme == "synthetic":
        from fer_edge.sources.synthetic import SyntheticSource

        return SyntheticSource(uri, realtime, rate)
    if uri.scheme == "csi":
        from fer_edge.sources.picamera import picamera_source

        return picamera_source(uri)
    if uri.scheme == "v4l2":
        from fer_edge.sources.v4l2 import v4l2_source

        return v4l2_source(uri)
    if uri.scheme == "argus":
        from fer_edge.sources.argus import argus_source

        return argus_source(uri)
    if uri.scheme == "rtsp":
        from fer_edge.sources.rtsp import rtsp_source

        return rtsp_source(uri)
    from fer_edge.sources.video_file import VideoFileSource

    return VideoFileSource(uri, realtime, loop, rate)
