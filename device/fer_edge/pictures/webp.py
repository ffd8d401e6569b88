"""WebP files as their bytes lie (developers.google.com/speed/webp/docs/riff_container; RFC 9649)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

# Zeros in a row of which the arithmetic code of an even picture has none: 0.025 bytes a block of 16 x 16 px at most,
# measured on one-colored pictures, gradients and text of 0.1 to 80 megapixels at qualities of 10 to 95.
HOLE_BYTES, HOLE_BYTES_PER_BLOCK = 128, 1 / 16
_LOSSY_HEADER, _PAD_PER_BLOCK = 10, 64


def chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, start of the payload, end of it) in the order of the file; the last end may lie behind the file's."""
    at = 12
    while at + 8 <= len(content):
        end = at + 8 + int.from_bytes(content[at + 4 : at + 8], "little")
        yield content[at : at + 4], at + 8, end
        at = end + end % 2


def size(content: bytes) -> tuple[int, int] | None:
    """(height, width) of the canvas, by the first chunk; None where it does not tell."""
    name = content[12:16]
    try:
        if name == b"VP8X" and len(content) >= 30:
            return 1 + int.from_bytes(content[27:30], "little"), 1 + int.from_bytes(content[24:27], "little")
        if name == b"VP8L":
            mark, bits = struct.unpack_from("<BI", content, 20)
            return (1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)) if mark == 0x2F else None
        if name == b"VP8 ":
            start, width, height = struct.unpack_from("<3sHH", content, 23)
            return (height & 0x3FFF, width & 0x3FFF) if start == b"\x9d\x01\x2a" else None
    except struct.error:  # cut off
        pass
    return None


def exif(content: bytes) -> bytes | None:
    """The TIFF structure of its EXIF chunk; some writers put JPEG's mark before it."""
    for name, start, end in chunks(content):
        if name == b"EXIF" and end <= len(content):
            return content[start:end].removeprefix(b"Exif\0\0")
    return None


@dataclass(frozen=True)
class Checked:
    """What lies in a WebP file.

    Attributes:
        clean: what a decoder may have: of a damaged one the picture alone, lengthened with zeros so that it ends.
        has_data: any picture data.
        flaw: what is wrong; empty for nothing that can be seen. The format has no checksum.
    """

    clean: bytes
    has_data: bool
    flaw: str


def check(content: bytes) -> Checked:
    """Follows the file to its end; see ``Checked``."""
    picture = next(((name, a, b) for name, a, b in chunks(content) if name in (b"VP8 ", b"VP8L", b"ANMF")), None)
    if picture is None:
        return Checked(content, False, "it ends before its picture data")
    name, start, end = picture
    data = content[start:end]
    first_bytes, blocks = 0, len(data) // _PAD_PER_BLOCK + 64
    if name == b"VP8 ":
        stored = size(b"RIFF----WEBPVP8 ----" + data[:_LOSSY_HEADER]) or (0, 0)
        blocks = (stored[0] // 16 + 1) * (stored[1] // 16 + 1)
        first_bytes = _LOSSY_HEADER + (int.from_bytes(data[:3], "little") >> 5)  # with the modes of all blocks
    if end > len(content):
        flaw = "it ends within its picture data"
    elif name == b"VP8 " and re.search(rb"\0{%d}" % (HOLE_BYTES + blocks * HOLE_BYTES_PER_BLOCK), data):
        flaw = "zeros instead of picture data"
    else:
        return Checked(content, True, "")
    has_data = len(data) > max(_LOSSY_HEADER, first_bytes)
    data += bytes(blocks * _PAD_PER_BLOCK + len(data) % 2)
    body = b"WEBP" + name + struct.pack("<I", len(data)) + data
    return Checked(b"RIFF" + struct.pack("<I", len(body)) + body, has_data, flaw)
