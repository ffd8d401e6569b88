"""Data sets as an npz, and a bundle's golden vectors: members, headers, shapes, kinds and values that are wrong."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from damage import damage_bytes, one_of
from harness import Case, Fault, one_line
from numpy.typing import NDArray

from fer_edge.contract.arrays import ArraySpec, read_arrays
from fer_edge.contract.errors import EdgeError
from fer_edge.contract.labels import EMOTIONS7, EMOTIONS8
from fer_host.data.fer2013 import load
from fer_host.errors import HostError

SILENT = True
N = 6
GOLDEN = {
    "crops": ArraySpec("image", ("n", 8, 8, 3)),
    "inputs": ArraySpec("number", ("n", 4, 4, 3)),
    "reference/int8": ArraySpec("number", ("n", 8)),
    "probabilities/int8": ArraySpec("number", ("n", 8)),
}
HEADERS = (
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 48, 48), }",
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 48, 48), }",
    b"{'descr': '<f8', 'fortran_order': True, 'shape': (), }",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (6,), }",
    b"{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (6,), }",
    b"{'descr': '<U999999999', 'fortran_order': False, 'shape': (6,), }",
    b"{'descr': '|V99999999', 'fortran_order': False, 'shape': (6,), }",
    b"{'descr': '>f8', 'fortran_order': True, 'shape': (6, 10), }",
    b"{'descr': '<M8[s]', 'fortran_order': False, 'shape': (6,), }",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (2.0, True), }",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"1," * 60 + b"), }",
    b"{'descr': '<u1,<u1', 'fortran_order': False, 'shape': (6,), }",
    b"{'descr': '|b1', 'fortran_order': 7, 'shape': 5, 'more': 1}",
    b"__import__('os').system('true')",
    b"(" * 3000,
    b"[" * 90 + b"]" * 90,
    b"\xff\xfe",
    b"",
)
METHODS = (*(zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) * 16, *(zipfile.ZIP_BZIP2,) * 6, zipfile.ZIP_LZMA)  # slow last


def fer2013() -> dict[str, NDArray[Any]]:
    """A sound data set."""
    rng = np.random.default_rng(0)
    names = (*EMOTIONS8, "unknown", "NF")
    return {
        "images": rng.integers(0, 256, (N, 48, 48), dtype=np.uint8),
        "fer_label": np.arange(N, dtype=np.int64) % 7,
        "ferplus_votes": rng.integers(0, 10, (N, 10)).astype(np.uint8),
        "usage": np.array(["Training", "PublicTest", "PrivateTest"] * 2),
        "duplicates_training": np.zeros(N, bool),
        "fer_classes": np.array(EMOTIONS7),
        "ferplus_classes": np.array(names),
    }


def golden() -> dict[str, NDArray[Any]]:
    """Sound golden vectors."""
    return {
        "crops": np.zeros((4, 8, 8, 3), np.uint8),
        "inputs": np.zeros((4, 4, 4, 3), np.float32),
        "reference/int8": np.zeros((4, 8), np.int8),
        "probabilities/int8": np.full((4, 8), 0.125, np.float32),
    }


def cast(array: NDArray[Any], kind: Any) -> NDArray[Any]:
    """The array as another kind, whatever becomes of its values; as zeros where that cannot be."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, that an imaginary part is lost
        try:
            return np.asarray(array).astype(kind)
        except ValueError:
            return np.zeros(np.shape(array), kind)


def damage_array(rng: np.random.Generator, array: NDArray[Any]) -> NDArray[Any]:
    """Another kind, shape, order, or values at the limits."""
    if not array.ndim or not array.size:
        return np.array([], "<f8")
    kind = int(rng.integers(0, 11))
    if kind == 0:
        return array[: int(rng.integers(0, len(array) + 1))]
    if kind == 1:
        return array.reshape(1, *array.shape) if rng.integers(0, 2) else array.ravel()
    if kind == 2:
        return np.concatenate([array, array])
    if kind == 3:
        return np.array(array.ravel()[0])
    if kind == 4:
        return cast(array, one_of(rng, ("<f2", ">f4", "<f8", "<c16", ">i8", "<i2", "<u8", "|S9", "<U3", ">U7", "|b1")))
    if kind == 5:
        return np.asfortranarray(array)
    if kind == 6 and array.dtype.kind in "iuf":
        values = np.array([np.nan, np.inf, -1, 300, 2**62, -(2**63), 1e308, 7, -2])
        changed = cast(array, one_of(rng, ("<f8", "<i8", "<f4")))
        changed.flat[int(rng.integers(0, array.size))] = cast(one_of(rng, values), changed.dtype)
        return changed
    if kind == 6 and array.dtype.kind == "U":
        return np.array(["", "x" * 400, "\x1b[2J", "\ud800", "anger", "é\0"])[rng.integers(0, 6, array.shape)]
    if kind == 7:
        return np.zeros((0, *array.shape[1:]), array.dtype)
    if kind == 8:
        return np.ascontiguousarray(array[..., :1])
    if kind == 9:
        return np.zeros((*array.shape, 0), array.dtype)
    return array[::-1]


def member(rng: np.random.Generator, array: NDArray[Any]) -> bytes:
    """An array's file, sound or with another header."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    content = file.getvalue()
    kind = int(rng.integers(0, 6))
    if kind == 0:
        return damage_bytes(rng, content, 128, 5)
    if kind == 1:
        header = one_of(rng, HEADERS)
        version = int(rng.choice([1, 1, 1, 2, 3, 9]))
        size = struct.pack("<H" if version == 1 else "<I", len(header) if rng.integers(0, 4) else 65_535)
        return b"\x93NUMPY" + bytes([version, 0]) + size + header + content[128:]
    return content


def archive(rng: np.random.Generator, arrays: dict[str, NDArray[Any]]) -> bytes:
    """An npz with up to three mistakes in its arrays, their headers, the archive or its bytes."""
    arrays = dict(arrays)
    for _ in range(int(rng.integers(0, 3))):
        name = one_of(rng, list(arrays))
        arrays[name] = damage_array(rng, arrays[name])
    wrong = one_of(rng, list(arrays)) if rng.integers(0, 2) else None
    file = io.BytesIO()
    method = one_of(rng, METHODS)
    with zipfile.ZipFile(file, "w", method) as opened:
        for name, array in arrays.items():
            plain = io.BytesIO()
            np.lib.format.write_array(plain, np.asarray(array), allow_pickle=False)
            content = member(rng, np.asarray(array)) if name == wrong else plain.getvalue()
            opened.writestr(f"{name}.npy", content)
        if rng.integers(0, 12) == 0:
            opened.writestr(one_of(rng, ("../../x.npy", "/etc/x.npy", "images", "images.npy/", "\x1b.npy")), b"x")
    content = file.getvalue()
    return damage_bytes(rng, content, 600, 5, 500) if rng.integers(0, 3) == 0 else content


def bomb() -> bytes:
    """3 MB that say they are 3 GB of pixels."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened, opened.open("images.npy", "w", True) as images:
        header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1302083, 48, 48), }\n"
        images.write(b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header)
        for _ in range(3000):
            images.write(bytes(1_000_000))
    return file.getvalue()


@contextmanager
def cases(folder: Path) -> Iterator[Case]:
    file, sets, vectors = folder / "set.npz", fer2013(), golden()

    def case(rng: np.random.Generator, index: int) -> str:
        if index % 4 == 3:
            try:
                arrays = read_arrays(archive(rng, vectors), GOLDEN, largest_bytes=1 << 24)
            except EdgeError as error:
                one_line(str(error), 600)
                return "golden refused"
            if any(not np.isfinite(array).all() for array in arrays.values()):
                raise Fault("not finite")
            return "golden read"
        file.write_bytes(archive(rng, sets))
        try:
            data = load(file)
        except HostError as error:
            one_line(str(error), 600)
            return "refused"
        if not len(data.images) == len(data.votes8) == len(data.label8) == len(data.label7) == len(data.usage):
            raise Fault("rows of different lengths")
        if not np.isfinite(data.votes8).all() or not (data.label7 >= -1).all() or not (data.label7 < 7).all():
            raise Fault("votes or labels that cannot be")
        return "read"

    yield case
