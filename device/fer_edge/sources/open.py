"""All schemes in one table, a row each: how it is opened, what it takes, what it is. To add a source, add a row.

``file:///clip.mp4`` (or a plain path), ``images:///folder``, ``synthetic://``, and cameras: ``csi://0`` (Raspberry
Pi's connector), ``v4l2:///dev/video0`` or ``v4l2://usb:046d:0825`` (USB), ``argus://0`` (Jetson's connector),
``rtsp://user:password@host/path`` and ``http://host/stream`` (network). A source's module is imported when it is
opened.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from fer_edge.contract import redact
from fer_edge.contract.names import printable
from fer_edge.errors import SourceError
from fer_edge.sources import upright
from fer_edge.sources.uri import Playback, SourceUri
from fer_edge.types import FrameSource

Open = Callable[[], FrameSource]


def _clip(uri: SourceUri, play: Playback) -> Open:
    from fer_edge.sources.video_file import VideoFileSource

    return partial(VideoFileSource, uri, play)


def _images(uri: SourceUri, _: Playback) -> Open:
    from fer_edge.sources.images import ImagesSource

    return partial(ImagesSource, uri)


def _csi(uri: SourceUri, _: Playback) -> Open:
    from fer_edge.sources.picamera import picamera_source

    return partial(picamera_source, uri)


def _v4l2(uri: SourceUri, _: Playback) -> Open:
    from fer_edge.sources.v4l2 import V4l2Opener

    return V4l2Opener(uri)  # finds the camera again under another number


def _argus(uri: SourceUri, _: Playback) -> Open:
    from fer_edge.sources.argus import argus_source

    return partial(argus_source, uri)


def _rtsp(uri: SourceUri, _: Playback) -> Open:
    from fer_edge.sources.rtsp import rtsp_source

    return partial(rtsp_source, uri)


def _http(uri: SourceUri, _: Playback) -> Open:
    from fer_edge.sources.http import http_source

    return partial(http_source, uri)


def _synthetic(uri: SourceUri, play: Playback) -> Open:
    from fer_edge.sources.synthetic import SyntheticSource

    return lambda: SyntheticSource(uri, play.realtime, play.rate)


@dataclass(frozen=True)
class Scheme:
    """What there is to know of a scheme before anything of it is opened.

    Args:
        opener: of a URI and how to play it: opens it, each time anew.
        options: that its URI takes, as whole numbers; without any, ? and # are part of its path.
        plays: which flags of ``Playback`` it can do.
        is_camera: it is live, may be waited for, and comes back after a loss.
        needs_path: false where a URI without a path means the first one.
        tracks_faces: its frames follow one another; in a folder of photos they do not.
        can_wait: its frames are there whenever they are read, so that small faces may be searched for too.
        whole_url: its path is the whole URL, whose other options are not ours.
        names: what its path names on this machine. The name of a file or folder may hold ? and #, and bytes that are no
            UTF-8; options are what follows the last ? and begins with the name of one.
        expected: what such a path should be, for a message.
        turns: EXIF codes of the turns that it does itself, e.g. in hardware; others are done behind it.
    """

    opener: Callable[[SourceUri, Playback], Open]
    options: tuple[str, ...] = ()
    plays: tuple[str, ...] = ()
    is_camera: bool = False
    needs_path: bool = True
    tracks_faces: bool = True
    can_wait: bool = False
    whole_url: bool = False
    names: Literal["", "file", "folder", "device"] = ""
    expected: str = ""
    turns: tuple[int, ...] = (upright.UPRIGHT,)

    @property
    def odd_names(self) -> bool:
        """See ``names``."""
        return self.names in ("file", "folder")


_SIZE, _MOUNT, _ALL = ("width", "height", "fps"), upright.OPTIONS, tuple(upright.MATRICES)
_PARTS = ("loop", "rate", "every", "from", "to")
SCHEMES = {
    "file": Scheme(
        _clip,
        _MOUNT,
        plays=_PARTS,
        can_wait=True,
        names="file",
        expected="the path of a video, or --camera",
        turns=_ALL,
    ),
    "images": Scheme(_images, _MOUNT, tracks_faces=False, can_wait=True, names="folder", expected="a folder of photos"),
    "csi": Scheme(_csi, (*_SIZE, *_MOUNT), is_camera=True, needs_path=False, turns=upright.FLIPPED),
    "v4l2": Scheme(_v4l2, (*_SIZE, *_MOUNT), is_camera=True, names="device"),
    "argus": Scheme(_argus, (*_SIZE, *_MOUNT), is_camera=True, needs_path=False, turns=_ALL),
    "rtsp": Scheme(_rtsp, _MOUNT, is_camera=True, whole_url=True),
    "http": Scheme(_http, _MOUNT, is_camera=True, whole_url=True),
    "https": Scheme(_http, _MOUNT, is_camera=True, whole_url=True),
    "synthetic": Scheme(_synthetic, (*_SIZE, "n", "faces", "seed", *_MOUNT), plays=("rate",), needs_path=False),
}


def parse_uri(text: str) -> SourceUri:
    """Parses a source.

    Raises:
        SourceError: unknown scheme or option, an option that is no whole number, or a missing path.
    """
    redact.remember(text)
    text, shown = _meant(text), printable(redact.url(text))
    if text and "://" not in text:  # a plain path is taken as it is, % and all
        return SourceUri("file", text, {}, f"file://{shown}")
    try:
        parts = urlsplit(text.replace("[", "%5B").replace("]", "%5D"))  # brackets are no IPv6 address here
    except ValueError as error:
        raise SourceError(f"source {shown!r}: no URI; expected a path or e.g. synthetic://") from error
    row = SCHEMES.get(parts.scheme)
    if row is None:
        expected = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise SourceError(f"source {shown!r}: unknown scheme {parts.scheme!r}; expected a path or one of {expected}")
    if not row.odd_names and printable(text) != text:
        raise SourceError(f"source {parts.scheme}://: holds bytes that are no UTF-8; expected text")
    if row.whole_url:
        return _url(parts.scheme, text, parts.netloc, row)
    if row.odd_names:
        path, query = _split_name(text.partition("://")[2], row)
    else:
        path, query = parts.netloc + parts.path, parts.query
    if not path and row.needs_path:
        raise SourceError(f"source {shown!r}: names no path; expected e.g. {parts.scheme}:///path")
    return SourceUri(parts.scheme, unquote(path, errors="surrogateescape"), _options(text, query, row), printable(text))


def _meant(text: str) -> str:
    """What people write who know other programs: a camera's number or its device file.

    Raises:
        SourceError: a word for a camera; says what to write.
    """
    if "://" in text or (os.path.lexists(text) and not text.startswith("/dev/video")):
        return text
    if text.isdecimal() and text.isascii() and len(text) <= 3:
        return f"v4l2:///dev/video{int(text)}"
    if re.fullmatch(r"/dev/video\d+", text):
        return f"v4l2://{text}"
    if text.lower() in ("camera", "cam", "webcam", "usb", "picamera", "picamera2", "csi", "argus"):
        raise SourceError(f"source {text!r}: no such file; for the first camera: --camera, in a file camera = true")
    return text


def _split_name(rest: str, row: Scheme) -> tuple[str, str]:
    name, _, query = rest.rpartition("?")
    is_ours = name and query.partition("=")[0] in row.options and "=" in query
    return (name, query) if is_ours else (rest, "")


def _options(text: str, query: str, row: Scheme) -> dict[str, int]:
    options = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in row.options:
            known = ", ".join(row.options)
            raise SourceError(f"source {printable(text)!r}: unknown option {key!r}; expected one of {known}")
        least = 0 if key in _MOUNT else 1
        if not value.isdecimal() or len(value) > 9 or not least <= int(value) < 100_000_000:
            expected = f"a whole number {'above 0' if least else 'from 0'}"
            raise SourceError(f"source {printable(text)!r}: option {key} is {value!r}, expected {expected}")
        options[key] = int(value)
    return options


def _url(scheme: str, text: str, netloc: str, row: Scheme) -> SourceUri:
    """The camera gets its URL as it is given, without the options that are ours."""
    shown = redact.url(text)
    path, question, query = text.partition("?")
    theirs: list[str] = []
    ours: list[str] = []
    for part in query.split("&") if question else []:
        (ours if part.partition("=")[0] in row.options else theirs).append(part)
    url = f"{path}?{'&'.join(theirs)}" if theirs else path
    if not netloc.rpartition("@")[2].partition(":")[0]:
        raise SourceError(
            f"source {scheme}://: names no host; expected e.g. {scheme}://user:password@192.168.1.20/stream"
        )
    return SourceUri(scheme, url, _options(shown, "&".join(ours), row), shown)


def opener(uri: SourceUri, play: Playback = Playback()) -> Open:  # noqa: B008  # frozen
    """What opens a source each time it is called, e.g. again after a loss; see ``open_source``.

    Raises:
        SourceError: options out of range.
    """
    row = SCHEMES[uri.scheme]
    orientation = upright.from_options(uri.options, uri.text)
    opened = row.opener(uri, play)
    if orientation in row.turns:
        return opened
    from fer_edge.sources.turned import TurnedSource

    return lambda: TurnedSource(opened(), orientation)


def open_source(text: str, realtime: bool = False, loop: bool = False, rate: float | None = None) -> FrameSource:
    """Opens a source; success means that its first frame can be read.

    Args:
        text: a URI or the path of a clip.
        realtime: see ``Playback``.
        loop: see ``Playback``.
        rate: see ``Playback``.

    Raises:
        SourceError: it cannot be opened; says why and what is expected.
    """
    return opener(parse_uri(text), Playback(realtime, loop, rate))()
