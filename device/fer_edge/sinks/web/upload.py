"""What is taken as a photo, decided before anything is decoded: by type, size in px, and work to decode."""

from __future__ import annotations

import struct

from fer_edge.errors import ImageError
from fer_edge.pictures.photo import jpeg_segments
from fer_edge.sinks.bounds import MAX_SCANS, MAX_SIDE_PX, MIN_SIDE_PX

_STANDALONE = (0x01, 0xD8, *range(0xD0, 0xD8))  # JPEG markers without a length: none belongs before the picture data


class TooLarge(ImageError):  # noqa: N818  # named for what it is
    """A photo of more bytes or px than are taken."""


class WrongType(ImageError):  # noqa: N818
    """Content that is none of the picture types taken."""


def check_photo(content: bytes, max_bytes: int, max_pixels: int) -> str:
    """Checks a photo file's content; gives its type (jpeg, png, webp, bmp). The declared type is not believed.

    Raises:
        TooLarge: too many bytes or px, or too long a side.
        WrongType: not a picture of these types.
        ImageError: a header that makes no sense, or a JPEG made to take long.
    """
    if len(content) > max_bytes:
        raise TooLarge(f"photo: {len(content)} bytes, expected at most {max_bytes}")
    kind = picture_type(content)
    if kind is None:
        raise WrongType("photo: not a JPEG, PNG, WebP or BMP picture; expected one of these")
    size = picture_size(content, kind)
    if size is None:
        raise ImageError(f"photo: a {kind} file whose header cannot be read; it is damaged")
    height, width = size
    if min(height, width) < MIN_SIDE_PX:
        raise ImageError(f"photo: {width} x {height} px, expected at least {MIN_SIDE_PX} px a side")
    if height * width > max_pixels or max(height, width) > MAX_SIDE_PX:
        limit = f"{max_pixels // 1_000_000} megapixels and {MAX_SIDE_PX} px a side"
        raise TooLarge(f"photo: {width} x {height} px, expected at most {limit}")
    scans = content.count(b"\xff\xda") if kind == "jpeg" else 0  # in picture data, a 0 follows each 255
    if scans > MAX_SCANS:
        raise ImageError(f"photo: a JPEG of {scans} scans, expected at most {MAX_SCANS}")
    return kind


def picture_type(content: bytes) -> str | None:
    """By the file's signature; None for any other."""
    if content.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    if content.startswith(b"BM"):
        return "bmp"
    return None


def picture_size(content: bytes, kind: str) -> tuple[int, int] | None:
    """(height, width) as stored, from the header; None where it cannot be read."""
    try:
        if kind == "png":
            return _png_size(content)
        if kind == "bmp":
            return _bmp_size(content)
        if kind == "webp":
            return _webp_size(content)
        return _jpeg_size(content)
    except struct.error:  # cut off
        return None


def _png_size(content: bytes) -> tuple[int, int] | None:
    length, name, width, height = struct.unpack_from(">I4sII", content, 8)
    return (height, width) if (length, name) == (13, b"IHDR") else None


def _bmp_size(content: bytes) -> tuple[int, int] | None:
    (header,) = struct.unpack_from("<I", content, 14)
    if header == 12:  # OS/2
        width, height = struct.unpack_from("<HH", content, 18)
    elif header >= 36:
        width, height = struct.unpack_from("<ii", content, 18)
    else:
        return None
    return abs(height), abs(width)  # a negative height stands for top-down rows


def _webp_size(content: bytes) -> tuple[int, int] | None:
    """https://developers.google.com/speed/webp/docs/riff_container; the first chunk tells."""
    chunk = content[12:16]
    if chunk == b"VP8X":
        if len(content) < 30:
            return None
        return 1 + int.from_bytes(content[27:30], "little"), 1 + int.from_bytes(content[24:27], "little")
    if chunk == b"VP8L":
        mark, bits = struct.unpack_from("<BI", content, 20)
        return (1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)) if mark == 0x2F else None
    if chunk == b"VP8 ":
        start, width, height = struct.unpack_from("<3sHH", content, 23)
        return (height & 0x3FFF, width & 0x3FFF) if start == b"\x9d\x01\x2a" else None
    return None


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Of the only start of frame. Where markers stand that a decoder could read otherwise than we, none is given."""
    found = None
    for marker, _, payload in jpeg_segments(content):
        if marker in _STANDALONE:
            return None
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if found is not None or len(payload) < 5:
                return None
            height, width = struct.unpack_from(">HH", payload, 1)
            found = int(height), int(width)
    return found
