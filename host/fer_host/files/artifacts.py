"""Artifacts on disk: their digests, and writes that are either complete or absent."""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.whole import whole_file
from fer_host.errors import HostError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def sha256_bytes(content: bytes | bytearray | memoryview) -> str:
    """64 lower-case hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Digest of a file's content, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_tree(folder: Path) -> dict[str, str]:
    """Digest of every file below ``folder``, by its relative POSIX path, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def digest_json(value: Any) -> str:
    """Digest of a JSON value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return sha256_bytes(text.encode())


def digest_arrays(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Digest of named arrays (a state dict), whatever file format they came from.

    Names, dtypes, shapes and values count; the order of the mapping does not. Weights shipped as float16 and loaded as
    float32 have one digest on every machine, because the widening is exact.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}\0{array.dtype.str}\0{arrays[name].shape}\0".encode())
        digest.update(array.data)
    return digest.hexdigest()


def tool_versions(distributions: Iterable[str]) -> dict[str, str]:
    """Installed version of each distribution; ``"absent"`` for one that is not installed."""
    versions = {}
    for name in distributions:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions


def write_bytes(path: Path, content: bytes | bytearray) -> None:
    """Writes to a temporary name beside ``path``, then renames; ``path`` is never half-written.

    Raises:
        HostError: no space left on the file system.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with one_line_if_disk_full(path), whole_file(path) as file:
        file.write_bytes(content)


def remove_unfinished(folder: Path, names: str) -> None:
    """Removes what killed processes left of files that they wrote as ``write_bytes`` does.

    Args:
        folder: where.
        names: a regular expression of the whole names that the files would have had; others' files stay.
    """
    for entry in list(folder.iterdir()):
        if re.fullmatch(rf"\.({names})\.[0-9a-f]{{8}}\.tmp", entry.name):
            entry.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """``value`` as indented JSON, written as ``write_bytes`` does."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(path, text.encode())


@contextmanager
def one_line_if_disk_full(target: Path) -> Iterator[None]:
    """Turns "no space left" (also over quota) into one line that names the place; other errors pass unchanged.

    Raises:
        HostError: in place of an OSError with ENOSPC or EDQUOT.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise HostError(
            f"{target}: no space left on its file system while writing it; nothing half-written was kept; "
            "free some space, or choose another folder, and run the command again"
        ) from error
