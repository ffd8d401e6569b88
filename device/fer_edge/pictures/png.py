"""PNG files as their bytes lie (W3C PNG, third edition): chunks, size, and what can be saved of a damaged one."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fer_edge.contract.bounds import PNG_DATA_BYTES as MOST_BYTES
from fer_edge.pictures.formats import PNG

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # a pixel, by color type
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_UNUSED = (b"iCCP",)  # the color profile, which cv2 does not use and libpng complains of


@dataclass(frozen=True)
class Chunk:
    """One chunk: name, offset of its length, payload (shorter than it claims where the file ends), checksum right."""

    name: bytes
    start: int
    payload: bytes
    is_sound: bool


def chunks(content: bytes) -> Iterator[Chunk]:
    """Chunks in the order of the file, up to its end; the last may be cut off."""
    at = len(PNG)
    while at + 8 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        name, payload = content[at + 4 : at + 8], content[at + 8 : end]
        crc = content[end : end + 4]
        yield Chunk(name, at, payload, len(crc) == 4 and zlib.crc32(payload, zlib.crc32(name)) == _number(crc))
        if name == b"IEND":
            return
        at = end + 4


def size(content: bytes) -> tuple[int, int] | None:
    """(height, width); None where the header is not one."""
    if len(content) < 33 or content[8:16] != b"\0\0\0\rIHDR":
        return None
    width, height = struct.unpack_from(">II", content, 16)
    return int(height), int(width)


def exif(content: bytes) -> bytes | None:
    """The TIFF structure of its eXIf chunk."""
    for chunk in chunks(content):
        if chunk.name == b"eXIf" and chunk.is_sound:
            return chunk.payload
    return None


@dataclass(frozen=True)
class Checked:
    """What lies in a PNG file.

    Attributes:
        clean: what a decoder may have: chunks that are whole and used.
        flaw: what is wrong, by checksums and the end; empty for nothing.
    """

    clean: bytes
    flaw: str


def check(content: bytes) -> Checked:
    """Follows the file to its end; see ``Checked``. Chunks that no pixel depends on may be broken; they go."""
    kept, flaw, last = [], "", b""
    for chunk in chunks(content):
        last = chunk.name
        if not chunk.is_sound and chunk.name in _CRITICAL:
            flaw = flaw or f"a wrong checksum in its {chunk.name.decode()}"
        elif chunk.is_sound and chunk.name not in _UNUSED:
            end = chunk.start + 12 + len(chunk.payload)
            kept.append(content[chunk.start : end])
    if last != b"IEND":
        flaw = flaw or "it has no end"
    return Checked(b"".join([PNG, *kept]), flaw)


def salvage(content: bytes) -> bytes | None:
    """A sound PNG of the rows that can be unpacked, the rest black; None where there are none, or no sound header."""
    found = list(chunks(content))
    if not found or found[0].name != b"IHDR" or not found[0].is_sound or len(found[0].payload) != 13:
        return None
    width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", found[0].payload)
    if color not in _SAMPLES or depth not in (1, 2, 4, 8, 16) or interlaced > 1 or not width or not height:
        return None
    passes = _passes(height, width, depth * _SAMPLES[color], bool(interlaced))
    expected = sum(rows * stride for rows, stride in passes)
    if expected > MOST_BYTES:
        return None
    unpacked = _unpack([chunk.payload for chunk in found if chunk.name == b"IDAT"], expected)
    if not unpacked:
        return None
    raw = np.zeros(expected, dtype=np.uint8)
    raw[: len(unpacked)] = np.frombuffer(unpacked, dtype=np.uint8)
    at = 0
    for rows, stride in passes:  # a row begins with its filter, 0 to 4; behind a hole anything may stand there
        filters = raw[at : at + rows * stride : stride]
        filters[filters > 4] = 0
        at += rows * stride
    palette = [chunk.payload for chunk in found if chunk.name == b"PLTE" and len(chunk.payload) % 3 == 0][:1]
    parts = [(b"IHDR", found[0].payload), *((b"PLTE", colors) for colors in palette)]
    parts += [(b"IDAT", zlib.compress(raw.tobytes(), 1)), (b"IEND", b"")]
    return PNG + b"".join(_chunk(name, payload) for name, payload in parts)


def _unpack(parts: list[bytes], most: int) -> bytes:
    """As much of a zlib stream as makes sense, in small steps, because an error takes its whole step away."""
    unpacker, out = zlib.decompressobj(), bytearray()
    data = b"".join(parts)
    try:
        for at in range(0, len(data), 256):
            out += unpacker.decompress(data[at : at + 256], most - len(out)) if len(out) < most else b""
            while unpacker.unconsumed_tail and len(out) < most:
                out += unpacker.decompress(unpacker.unconsumed_tail, most - len(out))
    except zlib.error:
        pass
    return bytes(out)


def _passes(height: int, width: int, bits: int, interlaced: bool) -> list[tuple[int, int]]:
    """(rows, bytes a row with its filter byte) of each pass over the picture."""
    grid = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in grid]
    return [(rows, 1 + (columns * bits + 7) // 8) for columns, rows in sizes if columns > 0 and rows > 0]


def _chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def _number(four: bytes) -> int:
    return int.from_bytes(four, "big")
