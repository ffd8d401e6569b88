"""The ``bits1`` encoding: a file whose low-bit integers take no more room than they need.

A tflite file keeps every weight in a byte. Here the weights are sorted by width, as many are put into a byte as fit
(four of 2 bits, two of 3 or 4 bits, else one), and those bytes are Huffman-coded (deflate without matches), because
small weights are the frequent ones. What is left of the file is deflated. Decoding gives back the same bytes.

Layout, little-endian: ``FEB1``; nine u32 sizes of the parts that follow, each a zlib stream: the header (JSON: ``size``
of the decoded file, ``regions`` of [offset, channels, weights a channel, 1 where channels are the last axis],
``widths`` a digit for each channel of all regions); what of the decoded file is no region; for each width from 2 to 8
the integers of its channels, offset to start at 0, the first in the lowest bits of its byte, filled up with zeros.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.bounds import BITS1_REGIONS as _MOST_REGIONS
from fer_edge.contract.bounds import BUNDLE_FILE_BYTES as _LARGEST
from fer_edge.contract.errors import BundleError

_MAGIC = b"FEB1"
_HEAD = struct.Struct("<9I")
_WIDTHS = range(2, 9)


_Placed = tuple[tuple[int, int, int, bool], NDArray[np.uint8]]  # (offset, channels, weights a channel, last), widths


@dataclass(frozen=True)
class Region:
    """One weight tensor in a file.

    Attributes:
        offset: of its first byte.
        widths: bits of each channel, 2 to 8; a channel's integers are within -2^(b-1) to 2^(b-1) - 1.
        per_channel: number of weights of a channel.
        last_axis: channels are the tensor's last axis (depthwise kernels), not the first.
    """

    offset: int
    widths: tuple[int, ...]
    per_channel: int
    last_axis: bool


def encode(content: bytes, regions: Iterable[Region]) -> bytes:
    """Packs a file; ``decode(encode(x, r), len(x)) == x``. Regions do not overlap.

    Raises:
        ValueError: an integer does not fit its channel's width.
    """
    regions = sorted(regions, key=lambda region: region.offset)
    rest, end = bytearray(), 0
    rows: dict[int, list[NDArray[np.int8]]] = {width: [] for width in _WIDTHS}
    for region in regions:
        size = len(region.widths) * region.per_channel
        values = np.frombuffer(content, np.int8, size, region.offset)
        channels = _channels_first(values, region)
        for width in _WIDTHS:
            chosen = channels[np.array(region.widths) == width]
            if len(chosen) and (chosen.min() < -(1 << width - 1) or chosen.max() >= 1 << width - 1):
                raise ValueError(f"region at {region.offset}: an integer does not fit into {width} bits")
            rows[width].append(chosen.ravel())
        rest += content[end : region.offset]
        end = region.offset + size
    rest += content[end:]
    listed = [[r.offset, len(r.widths), r.per_channel, int(r.last_axis)] for r in regions]
    widths = "".join(str(width) for region in regions for width in region.widths)
    header = json.dumps({"size": len(content), "regions": listed, "widths": widths})
    parts = [zlib.compress(header.encode(), 9), zlib.compress(bytes(rest), 9)]
    for width in _WIDTHS:
        values = np.concatenate(rows[width]) if rows[width] else np.empty(0, np.int8)
        engine = zlib.compressobj(9, zlib.DEFLATED, strategy=zlib.Z_HUFFMAN_ONLY)
        parts.append(engine.compress(_pack(values, width)) + engine.flush())
    return b"".join([_MAGIC, _HEAD.pack(*map(len, parts)), *parts])


def decode(stored: bytes, decoded_size: int) -> bytes:
    """The file that ``encode`` packed.

    Args:
        stored: what ``encode`` gave.
        decoded_size: bytes that the manifest promises.

    Raises:
        BundleError: not such a file, or it would be of another size.
    """
    try:
        return _decode(stored, decoded_size)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        struct.error,
        zlib.error,
        IndexError,
        OverflowError,
        RecursionError,
    ) as error:
        raise BundleError(f"bits1: not a valid file ({error}); copy the bundle again") from error


def _decode(stored: bytes, decoded_size: int) -> bytes:
    if stored[:4] != _MAGIC or not 0 <= decoded_size <= _LARGEST:
        raise ValueError("found another start or size than expected")
    parts, start = [], 4 + _HEAD.size
    for size in _HEAD.unpack_from(stored, 4):
        parts.append(stored[start : start + size])
        start += size
    if start != len(stored):
        raise ValueError("found another length than announced")
    header = json.loads(_inflate(parts[0], 1 << 20))
    if header["size"] != decoded_size:
        raise ValueError("found another size than the manifest's")
    regions = _regions(header, decoded_size)
    content = _with_gaps(_inflate(parts[1], decoded_size), regions, decoded_size)
    streams: dict[int, NDArray[np.int8]] = {}
    for width, part in zip(_WIDTHS, parts[2:], strict=True):
        n_values = sum(int(np.count_nonzero(widths == width)) * region[2] for region, widths in regions)
        streams[width] = _unpack(_inflate(part, -(-n_values // _per_byte(width))), width, n_values)
    taken = dict.fromkeys(_WIDTHS, 0)
    for (offset, n_channels, per_channel, last_axis), widths in regions:
        channels = np.empty((n_channels, per_channel), np.int8)
        for width in _WIDTHS:
            rows = np.flatnonzero(widths == width)
            first, n = taken[width], len(rows) * per_channel
            channels[rows] = streams[width][first : first + n].reshape(len(rows), per_channel)
            taken[width] = first + n
        content[offset : offset + channels.size] = (channels.T if last_axis else channels).ravel()
    return content.tobytes()


def _with_gaps(rest: bytes, regions: list[_Placed], size: int) -> NDArray[np.int8]:
    """The decoded file (size,) with nothing in its regions yet."""
    content = np.empty(size, np.int8)
    source, taken, end = np.frombuffer(rest, np.int8), 0, 0
    if len(source) != size - sum(n_channels * per_channel for (_, n_channels, per_channel, _), _ in regions):
        raise ValueError("found another size than the manifest's")
    for (offset, n_channels, per_channel, _), _ in regions:
        if offset < end:
            raise ValueError("found regions that overlap")
        content[end:offset] = source[taken : taken + offset - end]
        taken, end = taken + offset - end, offset + n_channels * per_channel
    content[end:] = source[taken:]
    return content


def _per_byte(width: int) -> int:
    return 8 // width


def _pack(values: NDArray[np.int8], width: int) -> bytes:
    n = _per_byte(width)
    padded = np.zeros(-(-len(values) // n) * n, np.uint8)
    padded[: len(values)] = values.astype(np.int16) + (1 << width - 1)
    return bytes((padded.reshape(-1, n) << (np.arange(n, dtype=np.uint8) * width)).sum(axis=1, dtype=np.uint8))


def _unpack(packed: bytes, width: int, n_values: int) -> NDArray[np.int8]:
    """Integers (n_values,) of one width."""
    n = _per_byte(width)
    if len(packed) != -(-n_values // n):
        raise ValueError("found another number of weights than announced")
    # what each of the 256 bytes stands for, looked up as one number of n bytes
    every = np.arange(256)[:, None] >> (np.arange(n) * width) & ((1 << width) - 1)
    table = (every - (1 << width - 1)).astype(np.int8).view(f"u{n}").ravel()
    return table[np.frombuffer(packed, np.uint8)].view(np.int8)[:n_values]


def _channels_first(values: NDArray[np.int8], region: Region) -> NDArray[np.int8]:
    if region.last_axis:
        return np.ascontiguousarray(values.reshape(region.per_channel, len(region.widths)).T)
    return values.reshape(len(region.widths), region.per_channel)


def _regions(header: dict[str, Any], size: int) -> list[_Placed]:
    """((offset, channels, weights a channel, last axis), widths (channels,)) of each region."""
    every: NDArray[np.uint8] = np.frombuffer(header["widths"].encode(), np.uint8) - np.uint8(ord("0"))
    if every.size and not (every.min() >= _WIDTHS[0] and every.max() <= _WIDTHS[-1]):
        raise ValueError("found a width that is not 2 to 8")
    regions, first = [], 0
    if len(header["regions"]) > _MOST_REGIONS:
        raise ValueError("found too many regions")
    for offset, n_channels, per_channel, last_axis in header["regions"]:
        if offset < 0 or min(n_channels, per_channel) < 1 or offset + n_channels * per_channel > size:
            raise ValueError("found a region outside the file")
        mine = every[first : first + n_channels]
        if len(mine) != n_channels:
            raise ValueError("found too few widths")
        regions.append(((offset, n_channels, per_channel, bool(last_axis)), mine))
        first += n_channels
    return regions


def _inflate(data: bytes, at_most: int) -> bytes:
    """zlib, but no bomb."""
    engine = zlib.decompressobj()
    content = engine.decompress(data, at_most + 1)
    if len(content) > at_most or not engine.eof or engine.unused_data:
        raise ValueError("found more data than announced")
    return content
