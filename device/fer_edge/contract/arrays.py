"""Arrays in an npz from outside: name, kind, shape and size are checked before anything is unpacked, values after."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.bounds import ARRAY_TEXT_CHARS as _LONGEST_TEXT
from fer_edge.contract.errors import SchemaError

_KINDS = {
    "image": ("u1", "uint8"),
    "integer": ("iub", "integers"),
    "number": ("iuf", "real numbers"),
    "text": ("U", "text"),
}


@dataclass(frozen=True)
class ArraySpec:
    """What an array must be.

    Attributes:
        kind: "image" (uint8), "integer" (bool too), "number" (integers or floats, all finite) or "text".
        shape: of each axis its size, or a name: axes of one name have one size, over all arrays.
    """

    kind: str
    shape: tuple[int | str, ...]


def read_arrays(
    source: Path | bytes, expected: Mapping[str, ArraySpec], *, largest_bytes: int, optional: tuple[str, ...] = ()
) -> dict[str, NDArray[Any]]:
    """The named arrays of an npz; others in it are not unpacked.

    Args:
        source: the file, or its content.
        expected: by name.
        largest_bytes: that one array may take unpacked.
        optional: names that may be absent.

    Raises:
        SchemaError: not an npz, an array is absent, of another kind or shape, too large, damaged, or not finite; the
            message starts with the array's name.
        OSError: the file cannot be read.
    """
    with (
        _said_as("npz", "not a readable npz ({}); expected an npz of plain arrays"),
        zipfile.ZipFile(source if isinstance(source, Path) else io.BytesIO(source)) as archive,
    ):
        members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        missing = [name for name in expected if name not in members and name not in optional]
        if missing:
            raise SchemaError(", ".join(missing), f"not in the file; expected {', '.join(expected)}")
        sizes: dict[str, int] = {}
        wanted = {name: spec for name, spec in expected.items() if name in members}
        for name, spec in wanted.items():
            with archive.open(members[name]) as file:
                _check_header(name, file, members[name].file_size, spec, sizes, largest_bytes)
        return {name: _unpack(name, archive, members[name], spec) for name, spec in wanted.items()}


@contextlib.contextmanager
def _said_as(name: str, problem: str) -> Iterator[None]:
    """Whatever a reader raises on a stranger's bytes is a SchemaError; what the disk says (it has a number) stays.

    zipfile, its four decompressors, numpy's headers and the Python parser in them raise more kinds than they document.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's, about headers of Python 2
            yield
    except SchemaError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        said = " ".join(str(error).split())[:80] or type(error).__name__
        raise SchemaError(name, problem.format(said)) from error


def _check_header(
    name: str, file: IO[bytes], size_bytes: int, spec: ArraySpec, sizes: dict[str, int], largest_bytes: int
) -> None:
    """Refuses by what the array says of itself; ``sizes`` gathers the named axes."""
    with _said_as(name, "its header cannot be read ({})"):
        version = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)  # type: ignore[no-untyped-call]
    kinds, words = _KINDS[spec.kind]
    fits = dtype.str[1:] == kinds if spec.kind == "image" else dtype.kind in kinds
    if not fits or dtype.names is not None:
        raise SchemaError(name, f"found {dtype}, expected {words}")
    if dtype.kind == "U" and dtype.itemsize > 4 * _LONGEST_TEXT:
        raise SchemaError(name, f"found text of {dtype.itemsize // 4} characters, expected at most {_LONGEST_TEXT}")
    if len(shape) != len(spec.shape):
        raise SchemaError(name, f"found shape {shape}, expected {_in_words(spec.shape)}")
    for found, size in zip(shape, spec.shape, strict=True):
        if found != (size if isinstance(size, int) else sizes.setdefault(size, found)):
            known = tuple(axis if isinstance(axis, int) else sizes.get(axis, axis) for axis in spec.shape)
            raise SchemaError(name, f"found shape {shape}, expected {_in_words(known)}")
    n_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if n_bytes > largest_bytes or size_bytes > largest_bytes + 4096:
        found = max(n_bytes, size_bytes)
        raise SchemaError(name, f"takes {found / 1e6:.4g} MB unpacked, expected at most {largest_bytes / 1e6:.4g}")


def _unpack(name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo, spec: ArraySpec) -> NDArray[Any]:
    with _said_as(name, "is damaged ({})"), archive.open(member) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)  # type: ignore[no-untyped-call]
    if spec.kind == "number" and not np.isfinite(array).all():
        raise SchemaError(name, "found values that are not finite")
    if array.dtype.kind == "U":
        codes = np.frombuffer(array.astype(array.dtype.newbyteorder("=")).tobytes(), np.uint32)
        if codes.size and int(codes.max()) > sys.maxunicode:  # NumPy takes it, str() does not
            raise SchemaError(name, "found text with a character that is none")
    return np.asarray(array)


def _in_words(shape: tuple[int | str, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
