"""Picture files made byte by byte: EXIF orientation in every container, cuts, holes, and what cameras append."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
# What each code does to a stored picture to show it upright, as the standard's table has it.
UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda stored: stored,
    2: lambda stored: np.fliplr(stored),
    3: lambda stored: np.rot90(stored, 2),
    4: lambda stored: np.flipud(stored),
    5: lambda stored: np.swapaxes(stored, 0, 1),
    6: lambda stored: np.rot90(stored, -1),  # a quarter to the right
    7: lambda stored: np.rot90(np.swapaxes(stored, 0, 1), 2),
    8: lambda stored: np.rot90(stored, 1),
}
# the code that shows a picture upright which was stored as UPRIGHT[code] made it
INVERSE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}


def quarters(height: int = 60, width: int = 80) -> Pixels:
    """A smooth BGR picture whose four quarters differ."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[: height // 2, : width // 2] = (0, 0, 220)
    image[: height // 2, width // 2 :] = (0, 200, 0)
    image[height // 2 :, : width // 2] = (210, 0, 0)
    image[height // 2 :, width // 2 :] = (230, 230, 230)
    return image


def encode(kind: str, bgr: Pixels, *options: int) -> bytes:
    ok, content = cv2.imencode(kind, bgr, list(options))
    assert ok
    return bytes(content)


def jpeg(bgr: Pixels, *options: int) -> bytes:
    return encode(".jpg", bgr, cv2.IMWRITE_JPEG_QUALITY, 95, *options)


def exif_tiff(code: int, order: str = "<", kind: int = 3, other_tags: int = 0) -> bytes:
    """A TIFF structure with an orientation, as EXIF holds it."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = b"".join(struct.pack(order + "HHII", 0x0100 + i, 4, 1, 7) for i in range(other_tags))
    entries += struct.pack(order + "HHIHH", 0x0112, kind, 1, code, 0)
    return mark + struct.pack(order + "IH", 8, other_tags + 1) + entries + b"\0\0\0\0"


def jpeg_with_exif(content: bytes, tiff: bytes, before: bytes = b"") -> bytes:
    payload = b"Exif\0\0" + tiff
    return content[:2] + before + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + content[2:]


def png_chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def png_with_exif(content: bytes, tiff: bytes) -> bytes:
    return content[:33] + png_chunk(b"eXIf", tiff) + content[33:]


def webp_with_exif(content: bytes, tiff: bytes, hw: tuple[int, int]) -> bytes:
    """The extended format: canvas, picture, EXIF."""
    canvas = bytes([8, 0, 0, 0]) + (hw[1] - 1).to_bytes(3, "little") + (hw[0] - 1).to_bytes(3, "little")
    parts = b"VP8X" + struct.pack("<I", len(canvas)) + canvas + content[12:]
    parts += b"EXIF" + struct.pack("<I", len(tiff)) + tiff + bytes(len(tiff) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WEBP" + parts


def tiff_file(bgr: Pixels, code: int, order: str = "<", depth: int = 8) -> bytes:
    """An uncompressed RGB TIFF of one strip with an orientation."""
    height, width = bgr.shape[:2]
    rgb = bgr[:, :, ::-1]
    data = (rgb.astype(order + "u2") * 257 if depth == 16 else rgb).tobytes()
    tags: list[tuple[int, int, int, int]] = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 0), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 0),
        (274, 3, 1, code), (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, len(data)), (284, 3, 1, 1),
    ]  # fmt: skip
    depths_at = 8 + 2 + 12 * len(tags) + 4
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    for tag, kind, n, value in tags:
        value = {258: depths_at, 273: depths_at + 6}.get(tag, value)
        packed = struct.pack(order + "HH", value, 0) if kind == 3 and n == 1 else struct.pack(order + "I", value)
        out += struct.pack(order + "HHI", tag, kind, n) + packed
    return out + bytes(4) + struct.pack(order + "3H", depth, depth, depth) + data


def turned_file(container: str, upright: Pixels, code: int) -> bytes:
    """A file whose pixels are stored turned, and whose orientation shows them as ``upright`` (BGR) again."""
    stored = np.ascontiguousarray(UPRIGHT[INVERSE[code]](upright))
    if container == "jpeg":
        return jpeg_with_exif(jpeg(stored), exif_tiff(code, ">"))
    if container == "png":
        return png_with_exif(encode(".png", stored), exif_tiff(code))
    if container == "webp":
        hw = (stored.shape[0], stored.shape[1])
        return webp_with_exif(encode(".webp", stored, cv2.IMWRITE_WEBP_QUALITY, 95), exif_tiff(code), hw)
    if container == "tiff":
        return tiff_file(stored, code)
    return tiff_file(stored, code, ">", 16)


CONTAINERS = ("jpeg", "png", "webp", "tiff", "tiff of 16 bits")


def with_hole(content: bytes, at: int, n: int, value: int = 0) -> bytes:
    """``n`` bytes replaced, as a lost block of a memory card leaves them."""
    return content[:at] + bytes([value]) * min(n, len(content) - at) + content[at + n :]


def picture_data(content: bytes) -> tuple[int, int]:
    """Where the compressed pixels of a JPEG, PNG or WebP of ours lie: (start, end)."""
    if content.startswith(b"\xff\xd8"):
        return content.index(b"\xff\xda") + 14, len(content) - 2
    if content.startswith(b"\x89PNG"):
        return content.index(b"IDAT") + 4, len(content) - 16
    return content.index(b"VP8") + 18, len(content)
