"""The TIFF structure (revision 6.0), of TIFF files and of the EXIF in others: size and orientation."""

from __future__ import annotations

import struct

_WIDTH, _HEIGHT, _ORIENTATION = 0x0100, 0x0101, 0x0112
_SHORT, _LONG = 3, 4


def orientation(content: bytes) -> int:
    """EXIF orientation 1 to 8 (CIPA DC-008, tag 0x0112); 1 where there is none or it cannot be read."""
    found = _find(content, _ORIENTATION)
    return found[0] if found is not None and found[2] == _SHORT and 1 <= found[0] <= 8 else 1


def size(content: bytes) -> tuple[int, int] | None:
    """(height, width) as stored, of the first picture; None where it does not tell."""
    height, width = _find(content, _HEIGHT), _find(content, _WIDTH)
    return None if height is None or width is None else (height[0], width[0])


def upright(content: bytes) -> bytes:
    """The same file with orientation 1: decoders turn TIFF whatever they are asked, and who turns must be one."""
    found = _find(content, _ORIENTATION)
    if found is None or found[2] != _SHORT:
        return content
    _, at, _ = found
    return content[:at] + struct.pack(_order(content) + "H", 1) + content[at + 2 :]


def _order(content: bytes) -> str:
    return {b"II": "<", b"MM": ">"}.get(content[:2], "")


def _find(content: bytes, wanted: int) -> tuple[int, int, int] | None:
    """(value, offset of the value, type) of a single short or long of the first directory."""
    order = _order(content)
    if not order:
        return None
    try:
        (start,) = struct.unpack_from(order + "I", content, 4)
        (count,) = struct.unpack_from(order + "H", content, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(order + "HHI", content, at)
            if tag == wanted and number == 1 and kind in (_SHORT, _LONG):
                (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), content, at + 8)
                return int(value), at + 8, int(kind)
    except struct.error:  # offsets that lead outside
        pass
    return None
