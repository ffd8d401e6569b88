"""What an MP4 or MOV file says of its first video track (ISO/IEC 14496-12): how it is turned, how many frames it has.

OpenCV tells of a turn by version: 4.6 has the sign wrong, 4.10 and newer start without, none knows a mirrored one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from fer_edge.contract.bounds import MP4_BOXES as MOST_BOXES
from fer_edge.sources.upright import UPRIGHT, from_matrix

FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp")
Numbers = tuple[float, float, float, float]


@dataclass(frozen=True)
class Box:
    """Its type, and where its content starts and ends in the file; the end may lie behind the file's."""

    kind: bytes
    start: int
    end: int


@dataclass(frozen=True)
class VideoTrack:
    """The first video track: its EXIF orientation, and its frames where each of them is shown."""

    orientation: int = UPRIGHT
    frames: int | None = None


def is_mp4(head: bytes) -> bool:
    """Whether a file that begins so is one."""
    return head[4:8] in FIRST_BOXES


def boxes(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
    """The boxes of one level, as far as they have sound headers."""
    at = start
    for _ in range(MOST_BOXES):
        if at + 8 > end:
            return
        file.seek(at)
        head = file.read(16)
        size, content = int.from_bytes(head[:4], "big"), at + 8
        if size == 1:
            size, content = int.from_bytes(head[8:16], "big"), at + 16
        elif size == 0:  # to the end
            size = end - at
        if len(head) < 8 or at + size < content:
            return
        yield Box(head[4:8], content, at + size)
        at += size


def read_video_track(file: BinaryIO, size_bytes: int) -> VideoTrack:
    """Reads it; what is absent or damaged is left at its default."""
    for moov in _children(file, Box(b"", 0, size_bytes), b"moov"):
        movie = next((_matrix(file, box, 36, 48) for box in _children(file, moov, b"mvhd")), (1.0, 0.0, 0.0, 1.0))
        for trak in _children(file, moov, b"trak"):
            for mdia in _children(file, trak, b"mdia"):
                for hdlr in _children(file, mdia, b"hdlr"):
                    if _read(file, hdlr, 8, 4) == b"vide":
                        return VideoTrack(_orientation(file, trak, movie), _frames(file, trak, mdia))
    return VideoTrack()


def _orientation(file: BinaryIO, trak: Box, movie: Numbers) -> int:
    for tkhd in _children(file, trak, b"tkhd"):
        a, b, c, d = _matrix(file, tkhd, 40, 52)
        e, f, g, h = movie  # applied after the track's
        return from_matrix(a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h)
    return UPRIGHT


def _frames(file: BinaryIO, trak: Box, mdia: Box) -> int | None:
    """Samples of the track; None where they are elsewhere (fragments), or an edit list hides some."""
    tables = [box for minf in _children(file, mdia, b"minf") for box in _children(file, minf, b"stbl")]
    counts = [_number(file, box, 8, 4) for stbl in tables for box in _children(file, stbl, b"stsz", b"stz2")]
    shifts = [_number(file, box, 12, 4) for stbl in tables for box in _children(file, stbl, b"ctts")]
    for edts in _children(file, trak, b"edts"):
        for elst in _children(file, edts, b"elst"):
            if not _shows_all(file, elst, shifts[0] if shifts else 0):
                return None
    return counts[0] or None if counts else None


def _shows_all(file: BinaryIO, elst: Box, shift: int) -> bool:
    """Whether there is one edit, and it begins no later than the first frame (whose time is ``shift``)."""
    wide = _read(file, elst, 0, 1) == b"\1"
    entry, width = (20, 8) if wide else (12, 4)
    starts = [_number(file, elst, 8 + i * entry + width, width) for i in range(min(3, _number(file, elst, 4, 4)))]
    starts = [start for start in starts if start != (1 << 8 * width) - 1]  # -1: an empty edit, a wait
    return len(starts) == 1 and starts[0] <= shift


def _children(file: BinaryIO, parent: Box, *kinds: bytes) -> Iterator[Box]:
    return (box for box in boxes(file, parent.start, parent.end) if box.kind in kinds)


def _matrix(file: BinaryIO, box: Box, offset: int, wide_offset: int) -> Numbers:
    content = _read(file, box, wide_offset if _read(file, box, 0, 1) == b"\1" else offset, 36)
    if len(content) < 36:
        return (1.0, 0.0, 0.0, 1.0)
    a, b, c, d = (int.from_bytes(content[i : i + 4], "big", signed=True) / 65536 for i in (0, 4, 12, 16))
    return a, b, c, d


def _number(file: BinaryIO, box: Box, offset: int, n_bytes: int) -> int:
    return int.from_bytes(_read(file, box, offset, n_bytes), "big")


def _read(file: BinaryIO, box: Box, offset: int, n_bytes: int) -> bytes:
    file.seek(box.start + offset)
    return file.read(max(0, min(n_bytes, box.end - box.start - offset)))
