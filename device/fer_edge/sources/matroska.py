"""What a Matroska or WebM file says of its first video track (RFC 9559), and whether it ends where it says.

Times and pictures are FFmpeg's; the turn is read here because FFmpeg before 6.1, OpenCV's too, does not know it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from fer_edge.contract.bounds import MATROSKA_ELEMENTS as MOST_ELEMENTS
from fer_edge.sources.upright import UPRIGHT, from_degrees

HEAD = b"\x1a\x45\xdf\xa3"
SEGMENT, CLUSTER, TRACKS, ENTRY, TAGS = 0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE, 0x1254C367
TRACK_TYPE, TRACK_UID, VIDEO, PROJECTION = 0x83, 0x73C5, 0xE0, 0x7670
PROJECTION_TYPE, YAW, PITCH, ROLL = 0x7671, 0x7673, 0x7674, 0x7675
TAG, TARGETS, TAG_TRACK_UID, SIMPLE_TAG, TAG_NAME, TAG_STRING = 0x7373, 0x63C0, 0x63C5, 0x67C8, 0x45A3, 0x4487
IN_SEGMENT = (CLUSTER, TRACKS, TAGS, 0x1549A966, 0x114D9B74, 0x1C53BB6B, 0x1941A469, 0x1043A770)


@dataclass(frozen=True)
class Element:
    """Its ID, and where its content starts and ends in the file; ``end`` is None where a live recorder left it open."""

    id: int
    start: int
    end: int | None


def is_matroska(head: bytes) -> bool:
    """Whether a file that begins so is one."""
    return head.startswith(HEAD)


def elements(file: BinaryIO, start: int, end: int) -> Iterator[Element]:
    """The elements of one level, as far as they have sound headers; one left open is followed by its own children."""
    at = start
    for _ in range(MOST_ELEMENTS):
        if at >= end:
            return
        file.seek(at)
        head = file.read(12)
        id_bytes = _length(head)
        size_bytes = _length(head[id_bytes:])
        if not 1 <= id_bytes <= 4 or not size_bytes or len(head) < id_bytes + size_bytes:
            return
        content = at + id_bytes + size_bytes
        ones = (1 << 7 * size_bytes) - 1
        size = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big") & ones
        yield Element(int.from_bytes(head[:id_bytes], "big"), content, None if size == ones else content + size)
        at = content if size == ones else content + size


def read_orientation(file: BinaryIO, size_bytes: int) -> int:
    """The first video track's EXIF orientation: its projection's roll, else FFmpeg's old ROTATE tag."""
    uid = None
    for segment in _children(file, 0, size_bytes, SEGMENT):
        for part in elements(file, segment.start, size_bytes):
            end = size_bytes if part.end is None else part.end
            if part.id == TRACKS and uid is None:
                for entry in _children(file, part.start, end, ENTRY):
                    if _number(file, entry, TRACK_TYPE) == 1:
                        uid = _number(file, entry, TRACK_UID)
                        orientation = _projected(file, entry)
                        if orientation != UPRIGHT:
                            return orientation
                        break
            elif part.id == TAGS and uid is not None:
                turn = _tagged(file, part, uid)
                if turn is not None:
                    return turn
            elif part.id == CLUSTER and part.end is None:  # a live recording: its tags come first, or never
                return UPRIGHT
    return UPRIGHT


def end_of(file: BinaryIO, size_bytes: int) -> int:
    """Where the last element ends that the file tells of: behind the file's end where it was cut off."""
    last = 0
    for element in elements(file, 0, size_bytes):
        if element.id == SEGMENT and element.end is None:
            for part in elements(file, element.start, size_bytes):  # clusters left open: their blocks follow
                last = max(last, part.end or part.start)
            return last
        last = max(last, element.end or element.start)
    return last


def _projected(file: BinaryIO, entry: Element) -> int:
    for video in _children(file, entry.start, entry.end or 0, VIDEO):
        for projection in _children(file, video.start, video.end or 0, PROJECTION):
            roll, yaw, pitch = (_real(file, projection, which) for which in (ROLL, YAW, PITCH))
            if _number(file, projection, PROJECTION_TYPE) == 0 and pitch == 0 and abs(yaw) in (0, 180):
                mirrored = yaw != 0  # as FFmpeg writes a mirrored picture
                return from_degrees(roll if mirrored else -roll, mirrored)  # roll is counter-clockwise
    return UPRIGHT


def _tagged(file: BinaryIO, tags: Element, uid: int) -> int | None:
    for tag in _children(file, tags.start, tags.end or 0, TAG):
        targets = [_number(file, each, TAG_TRACK_UID) for each in _children(file, tag.start, tag.end or 0, TARGETS)]
        if targets and targets[0] not in (0, uid):
            continue
        for simple in _children(file, tag.start, tag.end or 0, SIMPLE_TAG):
            name, value = (_bytes(file, simple, which).strip(b"\0 ") for which in (TAG_NAME, TAG_STRING))
            if name.upper() == b"ROTATE" and value.lstrip(b"-").isdigit() and len(value) < 6:
                return from_degrees(int(value))
    return None


def _children(file: BinaryIO, start: int, end: int, which: int) -> Iterator[Element]:
    return (element for element in elements(file, start, end) if element.id == which)


def _bytes(file: BinaryIO, parent: Element, which: int) -> bytes:
    for element in _children(file, parent.start, parent.end or 0, which):
        file.seek(element.start)
        return file.read(max(0, min((element.end or element.start) - element.start, 256)))
    return b""


def _number(file: BinaryIO, parent: Element, which: int) -> int:
    return int.from_bytes(_bytes(file, parent, which)[:8], "big")


def _real(file: BinaryIO, parent: Element, which: int) -> float:
    content = _bytes(file, parent, which)
    return float(struct.unpack(">f" if len(content) == 4 else ">d", content)[0]) if len(content) in (4, 8) else 0.0


def _length(head: bytes) -> int:
    """Bytes of a variable-length number by its first one; 0 where it is none."""
    return 9 - head[0].bit_length() if head and head[0] else 0
