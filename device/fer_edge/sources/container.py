"""What a clip's file says of itself without being decoded: how it is turned, its frames, and whether it was cut off."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fer_edge.sources import matroska, mp4
from fer_edge.sources.upright import UPRIGHT

RIFF_UNKNOWN = 0xFFFFFFFF  # a length that was to be filled in at the end
TS_PACKETS = {188: 0, 192: 4}  # bytes of a transport stream's packet, and where in it the sync byte is


@dataclass(frozen=True)
class Container:
    """What is known before a frame is decoded: EXIF orientation, and the number of frames where it is exact."""

    orientation: int = UPRIGHT
    frames: int | None = None


def describe(path: Path) -> Container:
    """Reads the headers.

    Raises:
        OSError: it cannot be read.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        if mp4.is_mp4(head):
            track = mp4.read_video_track(file, size_bytes)
            return Container(track.orientation, track.frames)
        if matroska.is_matroska(head):
            return Container(matroska.read_orientation(file, size_bytes))
    return Container()


def why_cut(path: Path) -> str:
    """How a file shows that it goes on; empty where it is whole, or of a kind that does not tell.

    An MPEG program stream, and a transport stream that ends between two packets, do not tell.

    Raises:
        OSError: it cannot be read.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(1024)
        expected = _end(file, head, size_bytes)
        if expected > size_bytes:
            return f"the file ends at {size_bytes} bytes, its parts at {expected}"
        for length, offset in TS_PACKETS.items():
            places = range(offset, len(head), length)
            if len(places) >= 4 and all(head[at] == 0x47 for at in places) and size_bytes % length:
                return f"the file ends inside a packet ({size_bytes % length} of {length} bytes)"
        if head[:4] == b"FLV\1" and not _ends_with_a_tag(file, size_bytes):
            return "the file ends inside a tag"
        if mp4.is_mp4(head) and not any(box.kind in (b"moov", b"moof") for box in mp4.boxes(file, 0, size_bytes)):
            return "the file has no index (moov), which recorders write last"
    return ""


def _end(file: BinaryIO, head: bytes, size_bytes: int) -> int:
    """Where the file should end by its own parts; 0 where they do not tell."""
    if mp4.is_mp4(head):
        return max((box.end for box in mp4.boxes(file, 0, size_bytes)), default=0)
    if matroska.is_matroska(head):
        return matroska.end_of(file, size_bytes)
    if head[:4] == b"RIFF":
        size = int.from_bytes(head[4:8], "little")
        return 8 + size if size != RIFF_UNKNOWN else _end_of_chunks(file, size_bytes)
    return 0


def _end_of_chunks(file: BinaryIO, size_bytes: int) -> int:
    """Where the last chunk ends of an AVI whose writer could not go back to say its length: in a pipe, or killed."""
    at = 12
    while at < size_bytes:
        file.seek(at)
        head = file.read(8)
        size = int.from_bytes(head[4:8], "little")
        if head[:4] == b"LIST" and size == RIFF_UNKNOWN:
            at += 12  # its chunks follow
        elif len(head) < 8 or at + 8 + size >= size_bytes:
            return at + 8 + size
        else:
            at += 8 + size + size % 2
    return at


def _ends_with_a_tag(file: BinaryIO, size_bytes: int) -> bool:
    """Whether the last four bytes of an FLV are the length of the tag before them (Adobe's format 10.1, E.3)."""
    file.seek(max(0, size_bytes - 4))
    length = int.from_bytes(file.read(4), "big")
    file.seek(max(0, size_bytes - 4 - length))
    head = file.read(4)
    return 11 <= length <= size_bytes - 4 and int.from_bytes(head[1:], "big") == length - 11
