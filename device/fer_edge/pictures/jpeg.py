"""JPEG files as their bytes lie (ITU T.81 annex B): segments, size, and whether the picture data are whole.

The format has no checksum. What can be told: a missing end, markers that make no sense, holes filled with zeros, and
what the decoder complains of; a single changed bit mostly cannot.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

HOLE_BYTES = 64  # zeros in a row that no Huffman code explains
_SOF0, _SOF1, _DHT, _SOI, _EOI, _SOS, _APP1 = 0xC0, 0xC1, 0xC4, 0xD8, 0xD9, 0xDA, 0xE1
_FRAMES = tuple(marker for marker in range(0xC0, 0xD0) if marker not in (0xC4, 0xC8, 0xCC))
_BETWEEN_SCANS = (0xC4, 0xCC, _SOS, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE)
_STANDALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length; none belongs before the picture data
_MARKER = re.compile(rb"\xff[\x01-\xfe]")  # as decoders look for one: stray bytes, fill bytes and stuffed zeros skipped
_IN_DATA = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # what ends a scan: all but stuffed zeros and restarts
_ZEROS = re.compile(rb"\0{%d,}" % HOLE_BYTES)


@dataclass(frozen=True)
class Segment:
    """One marker segment: ``content[start:end]`` from its 0xFF, the payload behind marker and length."""

    marker: int
    start: int
    end: int
    payload: bytes


def segments(content: bytes) -> Iterator[Segment]:
    """Segments up to the start of the first scan, which is the last; stops at one that is longer than the file."""
    at = 2 if content.startswith(b"\xff\xd8") else len(content)
    while match := _MARKER.search(content, at):
        marker, start = content[match.end() - 1], match.start()
        if marker in _STANDALONE:
            at = match.end()
            continue
        end = match.end() + int.from_bytes(content[match.end() : match.end() + 2], "big")
        if marker == _EOI or end < match.end() + 2 or end > len(content):
            return
        yield Segment(marker, start, end, content[match.end() + 2 : end])
        if marker == _SOS:
            return
        at = end


def size(content: bytes) -> tuple[int, int] | None:
    """(height, width) as stored, of the only start of frame; None where there is none, or more than one."""
    frames = [segment.payload for segment in segments(content) if segment.marker in _FRAMES]
    if len(frames) != 1 or len(frames[0]) < 5:
        return None
    height, width = struct.unpack_from(">HH", frames[0], 1)
    return int(height), int(width)


def exif(content: bytes) -> bytes | None:
    """The TIFF structure of its EXIF."""
    for segment in segments(content):
        if segment.marker == _APP1 and segment.payload.startswith(b"Exif\0\0"):
            return segment.payload[6:]
    return None


def count_scans(content: bytes) -> int:
    """Of the picture itself: a thumbnail in its header and a video behind its end (motion photos) are not decoded."""
    followed = _follow(content)
    return 0 if followed is None else 1 + _more_scans(content, followed.start, followed.end)


@dataclass(frozen=True)
class Checked:
    """What lies in a JPEG file.

    Attributes:
        clean: what a decoder may have: the segments seen here and nothing between them, and an end.
        has_data: any picture data.
        flaw: what is wrong with the picture data, as it stands in the bytes; empty for nothing.
    """

    clean: bytes
    has_data: bool
    flaw: str


def check(content: bytes) -> Checked:
    """Follows the file to its end; see ``Checked``. What comes behind the end is none of the picture's."""
    followed = _follow(content)
    if followed is None:
        return Checked(content, False, "it ends before its picture data")
    header, start, end, flaw = followed.header, followed.start, followed.end, followed.flaw
    if not flaw and _has_hole(content, header, start, end):
        flaw = "zeros instead of picture data"
    tail = content[start:end] + b"\xff\xd9"
    head = b"".join([b"\xff\xd8", *(content[part.start : part.end] for part in header)])
    return Checked(head + tail, end > start, flaw)


@dataclass(frozen=True)
class _Followed:
    """The segments up to the first scan, where the picture data lie, and what is wrong with their markers."""

    header: list[Segment]
    start: int
    end: int
    flaw: str


def _follow(content: bytes) -> _Followed | None:
    """From the first scan's data to the end of the picture; None where there is no scan."""
    header = list(segments(content))
    if not header or header[-1].marker != _SOS:
        return None
    at = start = header[-1].end
    flaw = "it ends within its picture data"
    while match := _IN_DATA.search(content, at):
        marker = content[match.end() - 1]
        if marker == _EOI:
            end, flaw = match.start(), ""
            break
        after = match.end() + int.from_bytes(content[match.end() : match.end() + 2], "big")
        if marker not in _BETWEEN_SCANS or after < match.end() + 2:
            end, flaw = match.start(), f"a marker 0x{marker:02x} in its picture data"
            break
        if after > len(content):
            end = match.start()
            break
        at = after
    else:
        end = len(content)
    return _Followed(header, start, end, flaw)


def _more_scans(content: bytes, start: int, end: int) -> int:
    """Scans behind the first; in picture data a 0 follows each 255."""
    return content.count(b"\xff\xda", start, end)


def complaint(said: str, clean: bytes) -> str:
    """What libjpeg's words mean for the picture; empty where they are no harm.

    Cameras may fill the last bytes before the end of the file: those are extraneous, and no harm.
    """
    for line in said.splitlines():
        if match := re.search(r"(\d+) extraneous bytes before marker 0xd9", line):
            n = int(match[1])
            if n < HOLE_BYTES and not clean[-2 - n : -2].strip(b"\0\xff"):
                continue
        if match := re.search(r"Corrupt JPEG data: (.*)|Premature end of JPEG file", line):
            return match[1] or "premature end"
    return ""


def _has_hole(content: bytes, header: list[Segment], start: int, end: int) -> bool:
    """True for zeros that cannot be codes of a sequential, Huffman-coded picture in one scan.

    The first code of each table is all zeros. Where that is "no difference" for every block's mean and "end of block"
    for the rest, many zeros are an even area, as optimized files have them; with the common tables they are none.
    """
    is_sequential = any(part.marker in (_SOF0, _SOF1) for part in header)
    if not is_sequential or _more_scans(content, start, end) or not _ZEROS.search(content, start, end):
        return False
    return any(symbol for part in header if part.marker == _DHT for symbol in _first_symbols(part.payload))


def _first_symbols(payload: bytes) -> Iterator[int]:
    """What the all-zero code of every Huffman table in a segment stands for."""
    at = 0
    while at + 17 < len(payload):
        yield payload[at + 17]
        at += 17 + sum(payload[at + 1 : at + 17])
