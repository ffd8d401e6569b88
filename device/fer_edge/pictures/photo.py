"""Reads photos: upright by their EXIF orientation, RGB, limited in size before anything is decoded."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.errors import ImageError
from fer_edge.types import RgbImage

MAX_PIXELS = 100_000_000
MAX_BYTES = 200_000_000
_START_OF_SCAN = 0xDA
_PNG = b"\x89PNG\r\n\x1a\n"
SHORT_SIDE_PX = 600  # of the thesis' app: larger photos are scaled down to it, smaller ones are left alone


@dataclass(frozen=True)
class Photo:
    """An upright photo.

    Attributes:
        image: (h, w, 3) RGB uint8, scaled down where it was large.
        scale: px of ``image`` per px of the upright original, at most 1.
        original_hw: (height, width) of the upright original in px.
    """

    image: RgbImage
    scale: float
    original_hw: tuple[int, int]


def read_photo(path: Path, short_side_px: int = SHORT_SIDE_PX) -> Photo:
    """Reads a photo file.

    Raises:
        ImageError: absent, not a picture, truncated, or too large.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ImageError(f"photo {path}: not a file; expected a JPEG, PNG, WebP or BMP picture")
        if size > MAX_BYTES:
            raise ImageError(f"photo {path}: {size} bytes, expected at most {MAX_BYTES}")
        content = path.read_bytes()
    except OSError as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"photo {path}: {error.strerror or error}; expected a readable picture") from error
    return decode_photo(content, f"photo {path}", short_side_px)


def decode_photo(content: bytes, what: str, short_side_px: int = SHORT_SIDE_PX) -> Photo:
    """Decodes a picture held in memory; ``what`` names it in messages.

    Raises:
        ImageError: not a picture, truncated, or too large.
    """
    size = header_size(content)
    if size is not None and size[0] * size[1] > MAX_PIXELS:
        raise ImageError(f"{what}: {size[1]} x {size[0]} px, expected at most {MAX_PIXELS // 1_000_000} megapixels")
    if is_cut_jpeg(content):
        raise ImageError(f"{what}: a JPEG without its end; it was cut off, copy it again")
    if is_cut_png(content):
        raise ImageError(f"{what}: a PNG without its end; it was cut off, copy it again")
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(without_color_profile(content), dtype=np.uint8), flags) if content else None
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(f"{what}: cannot be read as a picture; expected JPEG, PNG, WebP or BMP")
    upright = apply_orientation(image, exif_orientation(content))
    height, width = upright.shape[:2]
    scale = min(1.0, short_side_px / min(height, width))
    if scale < 1:
        small = max(1, round(width * scale)), max(1, round(height * scale))
        upright = cv2.resize(upright, small, interpolation=cv2.INTER_AREA)
    return Photo(np.ascontiguousarray(upright[:, :, ::-1]), scale, (height, width))


def apply_orientation(image: NDArray[np.uint8], code: int) -> NDArray[np.uint8]:
    """A stored picture (h, w, ...) as it is meant to be seen.

    Args:
        image: as stored.
        code: EXIF orientation 1 to 8 (CIPA DC-008, tag 0x0112): where the 0th row and 0th column are to be seen.
    """
    if code >= 5:  # stored on its side: 5 transpose, 6 turn right, 7 transverse, 8 turn left
        image = image.swapaxes(0, 1)
    if code in (2, 3, 6, 7):
        image = image[:, ::-1]
    if code in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def without_color_profile(content: bytes) -> bytes:
    """A PNG without its iCCP chunk, which cv2 does not use and libpng complains of on stderr; others as they are."""
    if not content.startswith(_PNG):
        return content
    chunks = [content[at:end] for name, at, end in png_chunks(content) if name != b"iCCP"]
    return b"".join([_PNG, *chunks])


def png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end) of a PNG's chunks; the end may lie behind the file's."""
    at = len(_PNG)
    while at + 8 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        yield content[at + 4 : at + 8], at, end
        at = end


def is_cut_png(content: bytes) -> bool:
    """True for a PNG with a chunk longer than the file; OpenCV 4.11 would first allocate what it claims, up to 4 GB."""
    return content.startswith(_PNG) and any(end > len(content) for _, _, end in png_chunks(content))


def jpeg_segments(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(marker, offset, payload) of a JPEG's segments up to the start of its picture data, which is the last."""
    at = 2
    while content.startswith(b"\xff\xd8") and at + 4 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        yield marker, at, content[at + 4 : at + 2 + length]
        if marker == _START_OF_SCAN:
            return
        at += 2 + length


def is_cut_jpeg(content: bytes) -> bool:
    """True for a JPEG whose picture data never ends; cv2 would fill what is missing with gray."""
    if not content.startswith(b"\xff\xd8"):
        return False
    start = max((at for marker, at, _ in jpeg_segments(content) if marker == _START_OF_SCAN), default=-1)
    return start < 0 or content.find(b"\xff\xd9", start) < 0


def exif_orientation(content: bytes) -> int:
    """The orientation that a JPEG's EXIF states; 1 where there is none or it cannot be read."""
    for marker, _, payload in jpeg_segments(content):
        if marker == 0xE1 and payload.startswith(b"Exif\0\0"):
            return _tiff_orientation(payload[6:])
    return 1


def _tiff_orientation(tiff: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    try:
        if order is None:
            return 1
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for i in range(count):
            tag, kind, number, value = struct.unpack_from(order + "HHIH", tiff, start + 2 + 12 * i)
            if tag == 0x0112 and kind == 3 and number == 1:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:  # offsets that lead outside
        return 1
    return 1


def header_size(content: bytes) -> tuple[int, int] | None:
    """(height, width) from the header of a PNG or JPEG without decoding it; None where it does not tell."""
    if content.startswith(_PNG) and len(content) >= 24:
        width, height = struct.unpack_from(">II", content, 16)
        return int(height), int(width)
    for marker, _, payload in jpeg_segments(content):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(payload) >= 5:  # a start of frame
            height, width = struct.unpack_from(">HH", payload, 1)
            return int(height), int(width)
    return None
