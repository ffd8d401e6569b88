"""A packed bundle, unpacked with care: plain files inside the folder, so many and so large, and nothing else."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path, PurePosixPath

from fer_edge.contract import bounds
from fer_edge.contract.bundle import MANIFEST_NAME
from fer_edge.errors import BundleError

_BLOCK_BYTES = 1 << 20


def unpack(archive: Path, folder: Path) -> Path:
    """Unpacks the bundle in an archive of ``make bundle``, or in one of a bundle's folder alone; gives its folder.

    Args:
        archive: a tar file, compressed or not.
        folder: an empty one.

    Raises:
        BundleError: no archive, no bundle in it, too many or too large files, or one that is no plain file inside.
        OSError: it cannot be read, or the disk is full.
    """
    found: dict[tuple[str, ...], Path] = {}
    total = 0
    try:
        with tarfile.open(archive, "r|*") as opened:
            for number, entry in enumerate(opened, 1):
                total += entry.size
                if number > bounds.ARCHIVE_ENTRIES or total > bounds.ARCHIVE_BYTES:
                    most = f"at most {bounds.ARCHIVE_ENTRIES} files and {bounds.ARCHIVE_BYTES} bytes"
                    raise BundleError(f"archive {archive}: holds more than a bundle, expected {most}")
                place = _place(archive, entry)
                if entry.isdir() or place is None:
                    continue
                if entry.size > bounds.BUNDLE_FILE_BYTES:
                    most = f"expected at most {bounds.BUNDLE_FILE_BYTES}"
                    raise BundleError(f"archive {archive}: {entry.name} has {entry.size} bytes, {most}")
                if place in found:
                    raise BundleError(f"archive {archive}: holds {entry.name} twice, expected each file once")
                found[place] = folder.joinpath(*place)
                _write(opened, entry, found[place])
    except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"archive {archive}: cannot be read ({error}); expected one of `make bundle`") from error
    for below in (("bundle",), ()):
        if (*below, MANIFEST_NAME) in found:
            return folder.joinpath(*below)
    raise BundleError(f"archive {archive}: no {MANIFEST_NAME} in it; expected one of `make bundle`")


def _place(archive: Path, entry: tarfile.TarInfo) -> tuple[str, ...] | None:
    """Where it goes: its path below the archive's own folder; None for what is no part of a bundle."""
    path = PurePosixPath(entry.name)
    inside = not path.is_absolute() and ".." not in path.parts and "\0" not in entry.name
    if not inside or not (entry.isreg() or entry.isdir()):
        raise BundleError(f"archive {archive}: {entry.name} is no plain file inside it; expected one of `make bundle`")
    place = path.parts[1:]
    return None if not place or place[0] == "wheels" else place


def _write(opened: tarfile.TarFile, entry: tarfile.TarInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source = opened.extractfile(entry)
    if source is None:
        raise BundleError(f"archive: {entry.name} is no plain file")
    with source, target.open("xb") as file:
        while block := source.read(_BLOCK_BYTES):
            file.write(block)
