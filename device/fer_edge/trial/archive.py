"""A packed bundle, read with care: plain files inside its folder, so many and so large, and nothing else."""

from __future__ import annotations

import hashlib
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from fer_edge.contract import bounds
from fer_edge.contract.bundle import MANIFEST_NAME
from fer_edge.errors import BundleError

LIST_NAME, SIGNATURE_NAME = "SHA256SUMS", "SHA256SUMS.sig"
_BLOCK_BYTES = 1 << 20
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
Place = tuple[str, ...]


def unpack(archive: Path, folder: Path) -> Path:
    """Unpacks the bundle in an archive of ``make bundle``, or in one of a bundle's folder alone; gives its folder.

    Args:
        archive: a tar file, compressed or not.
        folder: an empty one.

    Raises:
        BundleError: no archive, no bundle in it, too many or too large files, or one that is no plain file inside.
        OSError: it cannot be read, or the disk is full.
    """
    found: set[Place] = set()
    for place, entry, source in _files(archive):
        if place[0] == "wheels":
            continue
        if entry.size > bounds.BUNDLE_FILE_BYTES:
            most = f"expected at most {bounds.BUNDLE_FILE_BYTES}"
            raise BundleError(f"archive {archive}: {entry.name} has {entry.size} bytes, {most}")
        target = folder.joinpath(*place)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            while block := source.read(_BLOCK_BYTES):
                file.write(block)
        found.add(place)
    for below in (("bundle",), ()):
        if (*below, MANIFEST_NAME) in found:
            return folder.joinpath(*below)
    raise BundleError(f"archive {archive}: no {MANIFEST_NAME} in it; expected one of `make bundle`")


def listed(archive: Path) -> tuple[bytes, bytes, str]:
    """Compares every file in an archive with its list of digests; writes nothing.

    Returns:
        The list, its signature, and the digest of the bundle's manifest, which has those of the bundle's files.

    Raises:
        BundleError: as ``unpack``; no signature or list, a file that is not listed, or is otherwise than listed.
        OSError: it cannot be read.
    """
    digests, kept = dict[str, str](), {LIST_NAME: b"", SIGNATURE_NAME: b""}
    for place, entry, source in _files(archive):
        name = "/".join(place)
        if name in kept:
            if entry.size > bounds.LISTED_BYTES:
                most = f"expected at most {bounds.LISTED_BYTES}"
                raise BundleError(f"archive {archive}: {name} has {entry.size} bytes, {most}")
            kept[name] = source.read()
            continue
        digest = hashlib.sha256()
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
        digests[name] = digest.hexdigest()
    if not kept[SIGNATURE_NAME] or not kept[LIST_NAME]:
        raise BundleError(f"archive {archive}: is not signed; pack it with: make bundle SIGN=key")
    lines = [_LINE.fullmatch(line) for line in kept[LIST_NAME].decode(errors="replace").split("\n")[:-1]]
    asked = {line[2]: line[1] for line in lines if line is not None}
    if not asked or len(asked) != len(lines):
        raise BundleError(f"archive {archive}: its {LIST_NAME} is no list of digests; get the archive again")
    for name in sorted(asked.keys() | digests.keys()):
        if digests.get(name) != asked.get(name):
            problem = "is not in it" if name not in digests else "is not listed" if name not in asked else "was changed"
            raise BundleError(f"archive {archive}: {name} {problem}, by its {LIST_NAME}; get the archive again")
    manifest = digests.get(f"bundle/{MANIFEST_NAME}")
    if manifest is None:
        raise BundleError(f"archive {archive}: no bundle/{MANIFEST_NAME} in it; expected one of `make bundle`")
    return kept[LIST_NAME], kept[SIGNATURE_NAME], manifest


def _files(archive: Path) -> Iterator[tuple[Place, tarfile.TarInfo, IO[bytes]]]:
    """Every plain file: its path below the archive's own folder, its entry, its content."""
    found: set[Place] = set()
    total = 0
    try:
        with tarfile.open(archive, "r|*") as opened:
            for number, entry in enumerate(opened, 1):
                total += entry.size
                if number > bounds.ARCHIVE_ENTRIES or total > bounds.ARCHIVE_BYTES:
                    most = f"at most {bounds.ARCHIVE_ENTRIES} files and {bounds.ARCHIVE_BYTES} bytes"
                    raise BundleError(f"archive {archive}: holds more than a bundle, expected {most}")
                place = _place(archive, entry)
                if entry.isdir() or not place:
                    continue
                if place in found:
                    raise BundleError(f"archive {archive}: holds {entry.name} twice, expected each file once")
                found.add(place)
                source = opened.extractfile(entry)
                if source is None:
                    raise BundleError(f"archive {archive}: {entry.name} is no plain file")
                with source:
                    yield place, entry, source
    except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"archive {archive}: cannot be read ({error}); expected one of `make bundle`") from error


def _place(archive: Path, entry: tarfile.TarInfo) -> Place:
    """Where it goes: its path below the archive's own folder."""
    path = PurePosixPath(entry.name)
    inside = not path.is_absolute() and ".." not in path.parts and "\0" not in entry.name
    if not inside or not (entry.isreg() or entry.isdir()):
        raise BundleError(f"archive {archive}: {entry.name} is no plain file inside it; expected one of `make bundle`")
    return path.parts[1:]
