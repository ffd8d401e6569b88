"""An npz from outside: refused by name before anything large is unpacked."""

from __future__ import annotations

import io
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.contract.arrays import ArraySpec, read_arrays
from fer_edge.contract.errors import SchemaError

SPECS = {
    "images": ArraySpec("image", ("n", "h", "w")),
    "votes": ArraySpec("number", ("n", 10)),
    "labels": ArraySpec("integer", ("n",)),
    "usage": ArraySpec("text", ("n",)),
}
LARGEST = 1 << 20


def arrays() -> dict[str, Any]:
    return {
        "images": np.zeros((3, 8, 8), dtype=np.uint8),
        "votes": np.ones((3, 10), dtype=np.float32),
        "labels": np.array([1, 2, 3], dtype=np.int8),
        "usage": np.array(["a", "b", "c"]),
    }


def packed(values: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **values)
    return buffer.getvalue()


def test_sound_arrays_come_back_from_a_file_and_from_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(packed(arrays()))
    for source in (tmp_path / "a.npz", packed(arrays())):
        found = read_arrays(source, SPECS, largest_bytes=LARGEST)
        for name, value in arrays().items():
            np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("images", np.zeros((3, 8, 8), dtype=np.float32), "found float32, expected uint8"),
        ("images", np.zeros((3, 64), dtype=np.uint8), r"found shape \(3, 64\), expected \(n, h, w\)"),
        ("images", np.zeros((3, 600, 600), dtype=np.uint8), "takes 1.08 MB unpacked"),
        ("votes", np.full((3, 10), np.nan), "not finite"),
        ("votes", np.full((3, 10), np.inf), "not finite"),
        ("votes", np.ones((3, 10), dtype=np.complex64), "found complex64, expected real numbers"),
        ("votes", np.ones((3, 9)), r"expected \(3, 10\)"),
        ("labels", np.array([1, 2]), r"found shape \(2,\), expected \(3,\)"),
        ("labels", np.array([1.0, 2, 3]), "expected integers"),
        ("usage", np.array(["a", "b"]), r"found shape \(2,\), expected \(3,\)"),
        ("usage", np.array(["a" * 300, "b", "c"]), "found text of 300 characters"),
        ("usage", np.array([b"a", b"b", b"c"]), "expected text"),
        ("usage", np.array([None, "b", "c"], dtype=object), "expected text"),
        ("labels", np.zeros(3, dtype=[("a", "i4")]), "expected integers"),
    ],
)
def test_what_does_not_fit_is_named(name: str, value: Any, said: str) -> None:
    with pytest.raises(SchemaError, match=f"{name}: .*{said}"):
        read_arrays(packed({**arrays(), name: value}), SPECS, largest_bytes=LARGEST)


def test_an_absent_array_is_named() -> None:
    values = arrays()
    del values["votes"]
    with pytest.raises(SchemaError, match="votes: not in the file"):
        read_arrays(packed(values), SPECS, largest_bytes=LARGEST)
    assert "votes" not in read_arrays(packed(values), SPECS, largest_bytes=LARGEST, optional=("votes",))


def _lying_header(shape: str) -> Callable[[], bytes]:
    def make() -> bytes:
        header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("images.npy", content)
        return buffer.getvalue()

    return make


@pytest.mark.parametrize("shape", ["(99999999999, 9999, 9999)", "(-1, 8, 8)", "(3, 8, 8)", "(2**60,)", "'x'"])
def test_a_header_that_lies_is_refused(shape: str) -> None:
    with pytest.raises(SchemaError, match="images"):
        read_arrays(_lying_header(shape)(), {"images": SPECS["images"]}, largest_bytes=LARGEST)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = packed({"images": np.zeros((300, 512, 512), dtype=np.uint8)})  # 79 MB in 80 kB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SchemaError, match=r"takes 78.64 MB unpacked, expected at most 67.11"):
        read_arrays(bomb, {"images": SPECS["images"]}, largest_bytes=1 << 26)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KiB


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_mutated_file_gives_arrays_or_one_line(data: st.DataObject) -> None:
    content = bytearray(_SOUND)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(len(content) // 2, len(content)))]
    try:
        read_arrays(bytes(content), SPECS, largest_bytes=LARGEST)
    except SchemaError as error:
        assert str(error).isprintable()  # noqa: PT017  # a refusal is one of two good ends


_SOUND = packed(arrays())


def member(name: str, content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def with_header(text: bytes) -> bytes:
    """An npz of one array whose header says this."""
    return member("images.npy", b"\x93NUMPY\x01\0" + len(text).to_bytes(2, "little") + text)


def spoilt(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new)


@pytest.mark.parametrize(
    "content",
    [
        with_header(b"{'descr': '|u1', 'fortran_order': False, 'shape': (3, 8, 8"),  # no end: tokenize's own error
        with_header(b"(" * 3000),
        with_header(b"[" * 90 + b"]" * 90),
        spoilt(member("images.npy", bytes(range(256)) * 9, zipfile.ZIP_LZMA), b"\x09\x04\x05\0", b"\x09\x04\x05\0\xff"),
        spoilt(member("images.npy", b"x" * 3000, zipfile.ZIP_BZIP2), b"BZh9", b"BZh0"),
        spoilt(member("im\u00e9.npy", b"x"), b"im\xc3\xa9", b"im\xc3\xff"),  # a name that is not in its encoding
        member("images.npy", b""),
    ],
)  # fmt: skip
def test_whatever_its_readers_raise_is_one_line(content: bytes) -> None:
    """Found by ``benchmarks/fuzz.py npz``: LZMAError, TokenError, UnicodeDecodeError, OSError without a number."""
    with pytest.raises(SchemaError) as caught:
        read_arrays(content, {"images": SPECS["images"]}, largest_bytes=LARGEST)
    assert "\n" not in str(caught.value)
