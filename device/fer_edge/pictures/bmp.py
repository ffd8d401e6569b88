"""BMP files as their bytes lie: size, and whether all rows are there."""

from __future__ import annotations

import struct

_RGB, _FIELDS = 0, 3  # compressions that store whole rows
_BITS = (1, 4, 8, 16, 24, 32)  # a pixel; other numbers are damage, and rows of them could fill the memory


def size(content: bytes) -> tuple[int, int] | None:
    """(height, width); None where the header is not one."""
    try:
        (header,) = struct.unpack_from("<I", content, 14)
        if header == 12:  # OS/2
            width, height = struct.unpack_from("<HH", content, 18)
        elif header >= 36:
            width, height = struct.unpack_from("<ii", content, 18)
        else:
            return None
    except struct.error:  # cut off
        return None
    return abs(height), abs(width)  # a negative height stands for top-down rows


def missing_bytes(content: bytes) -> int:
    """How many bytes of its rows are not there; 0 where the header does not tell how many they are."""
    stored = size(content)
    if stored is None:
        return 0
    try:
        start, header = struct.unpack_from("<II", content, 10)
        bits, compression = struct.unpack_from("<H", content, 24)[0], _RGB
        if header != 12:
            bits, compression = struct.unpack_from("<HI", content, 28)
    except struct.error:
        return 0
    if compression not in (_RGB, _FIELDS) or bits not in _BITS:
        return 0
    height, width = stored
    needed = int(start) + height * ((width * bits + 31) // 32 * 4)
    return max(0, needed - len(content)) if start < len(content) else 0
