"""The bits1 encoding gives back every byte, whatever the widths, and refuses what is not of its kind."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.contract import bits1
from fer_edge.contract.bits1 import Region
from fer_edge.contract.errors import BundleError


def packed_file(seed: int, shapes: list[tuple[int, int, bool]]) -> tuple[bytes, list[Region]]:
    random = np.random.default_rng(seed)
    content, regions = bytearray(random.bytes(13)), []
    for n_channels, per_channel, last_axis in shapes:
        widths = random.integers(2, 9, n_channels)
        half = 2 ** (widths[:, None] - 1)
        values = random.integers(-half, half, (n_channels, per_channel)).astype(np.int8)
        regions.append(Region(len(content), tuple(widths.tolist()), per_channel, last_axis))
        content += (values.T if last_axis else values).tobytes() + random.bytes(5)
    return bytes(content), regions


@given(
    st.integers(0, 2**31),
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 30), st.booleans()), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_every_byte_comes_back(seed: int, shapes: list[tuple[int, int, bool]]) -> None:
    content, regions = packed_file(seed, shapes)
    assert bits1.decode(bits1.encode(content, regions), len(content)) == content


def test_weights_take_about_their_entropy() -> None:
    values = np.rint(np.random.default_rng(0).normal(0, 0.7, 80_000)).clip(-2, 1).astype(np.int8)
    share = np.bincount(values + 2) / len(values)
    entropy_bytes = -(share * np.log2(share)).sum() * len(values) / 8
    stored = bits1.encode(values.tobytes(), [Region(0, (2,) * 80, 1000, False)])
    assert entropy_bytes < len(stored) < 1.05 * entropy_bytes + 200


def test_an_integer_that_does_not_fit_its_width_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit into 3 bits"):
        bits1.encode(bytes([1, 4]), [Region(0, (3,), 2, False)])


@given(st.integers(0, 2**31), st.integers(0, 400), st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_refused_or_decodes_to_the_promised_size(seed: int, position: int, change: int) -> None:
    content, regions = packed_file(seed, [(5, 7, False), (3, 9, True)])
    stored = bytearray(bits1.encode(content, regions))
    stored[position % len(stored)] ^= change
    try:
        decoded = bits1.decode(bytes(stored), len(content))
    except BundleError:
        return
    assert len(decoded) == len(content)


@pytest.mark.parametrize("stored", [b"", b"FEB1", b"FEB1" + bytes(36), b"nothing of the kind" * 9])
def test_other_bytes_are_refused(stored: bytes) -> None:
    with pytest.raises(BundleError, match="bits1"):
        bits1.decode(stored, 100)


def crafted(header: object, rest: bytes = b"", text: bytes | None = None) -> bytes:
    parts = [zlib.compress(text if text is not None else json.dumps(header).encode()), zlib.compress(rest)]
    parts += [zlib.compress(b"")] * 7
    return b"FEB1" + struct.pack("<9I", *map(len, parts)) + b"".join(parts)


@pytest.mark.parametrize(
    ("stored", "size"),
    [
        (crafted({"size": 1000, "regions": [], "widths": ""}, b"x"), 1000),  # one byte must not fill a thousand
        (crafted({"size": 4, "regions": [[0, 1, 9, 0]], "widths": "2"}), 4),
        (crafted({"size": 9, "regions": [[0, 1, 4, 0], [2, 1, 4, 0]], "widths": "22"}, b"x"), 9),
        (crafted({"size": 4, "regions": [[0, 0, 0, 0]] * 9, "widths": ""}, b"abcd"), 4),
        (crafted({"size": 4, "regions": [[0, 1, 4, 0]], "widths": "9"}), 4),
        (crafted({"size": 4, "regions": [[0, 2, 2, 0]], "widths": "2"}), 4),
        (crafted({"size": 4, "regions": [["a", 2, 2, 0]], "widths": "22"}), 4),
        (crafted([], b""), 4),
        (crafted(None, b"", b"[" * 100_000), 4),
        (crafted({"size": 4, "regions": [], "widths": "", "x": "y" * (1 << 21)}, b"abcd"), 4),
    ],
)
def test_crafted_headers_are_refused(stored: bytes, size: int) -> None:
    with pytest.raises(BundleError, match="bits1"):
        bits1.decode(stored, size)
