"""What a picture file says of itself, without decoding it: its size and how it is to be turned; one reader for all."""

from __future__ import annotations

import re

from fer_edge.pictures import bmp, jpeg, png, tiff, webp
from fer_edge.pictures.formats import Kind

_PNM = re.compile(rb"P[1-6](?:\s+|#[^\n]*\n)+(\d{1,9})(?:\s+|#[^\n]*\n)+(\d{1,9})\s")
_SIZES = {"jpeg": jpeg.size, "png": png.size, "webp": webp.size, "bmp": bmp.size, "tiff": tiff.size}


def stored_size(content: bytes, kind: Kind) -> tuple[int, int] | None:
    """(height, width) as stored, before turning; None where the header does not tell, always for HEIC and AVIF."""
    if kind == "pnm":
        match = _PNM.match(content[:4096])
        return None if match is None else (int(match[2]), int(match[1]))
    reader = _SIZES.get(kind)
    return None if reader is None else reader(content)


def orientation(content: bytes, kind: Kind) -> int:
    """EXIF orientation 1 to 8 of a JPEG, PNG, WebP or TIFF; 1 where there is none, it cannot be read, or no reader.

    HEIC and AVIF say it in their own boxes, which their decoders follow.
    """
    if kind == "tiff":
        return tiff.orientation(content)
    found = {"jpeg": jpeg.exif, "png": png.exif, "webp": webp.exif}.get(kind, lambda _: None)(content)
    return 1 if found is None else tiff.orientation(found)
