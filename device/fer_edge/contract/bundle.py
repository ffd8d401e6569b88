"""Bundles on disk: read with every digest checked, written to a temporary folder and renamed into place."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fer_edge.contract import bounds
from fer_edge.contract import manifest as manifest_format
from fer_edge.contract.bounds import XZ_MEMORY_BYTES as _XZ_MEMORY
from fer_edge.contract.digest import sha256 as _digest
from fer_edge.contract.digest import sha256_of as _digest_of
from fer_edge.contract.errors import BundleError, SchemaError
from fer_edge.contract.kept import kept
from fer_edge.contract.manifest import FileEntry, Manifest
from fer_edge.contract.regular import read_regular

if TYPE_CHECKING:
    from fer_edge.contract.bits1 import Region

MANIFEST_NAME = "manifest.json"
DIGEST_NAME = "bundle.sha256"
PROBES = "probes"  # where `fer-host probes` puts its files unless told another folder
_BLOCK_BYTES = 1 << 16
_REMEDY = "copy the bundle again, or rebuild it with `make convert`"


@dataclass(frozen=True)
class Bundle:
    """A bundle whose manifest was read and whose files were all checked."""

    path: Path
    manifest: Manifest
    sha256: str

    def answering_in(self, label_set: str | None) -> Bundle:
        """The bundle with another default label set, see ``Manifest.answering_in``."""
        return dataclasses.replace(self, manifest=self.manifest.answering_in(label_set))

    def read(self, role: str) -> bytes:
        """The decoded content of the file with this role; what takes time to decode is kept, see ``kept``.

        Raises:
            BundleError: the role is unknown, or the content no longer has its digest.
        """
        entry = self.manifest.files.get(role)
        if entry is None:
            raise BundleError(
                f"bundle {self.path}: no file with the role {role!r}; it has {', '.join(self.manifest.files)}"
            )
        if entry.encoding == "none":
            return _decoded(self.path, entry)
        return kept(entry.decoded_sha256, entry.decoded_size_bytes, lambda: _decoded(self.path, entry))


def open_bundle(path: Path) -> Bundle:
    """Reads a bundle and checks the digest of every file in it; encoded ones are decoded when they are read.

    Raises:
        BundleError: absent, incomplete, or a byte differs; the message names the file.
        SchemaError: the manifest does not decode; the message names the field.
    """
    if not (path / MANIFEST_NAME).is_file():
        raise BundleError(f"bundle {path}: no {MANIFEST_NAME} there; expected a folder made by `make convert`")
    text = read_regular(path / MANIFEST_NAME, bounds.MANIFEST_BYTES)
    digest = _digest(text)
    digest_file = path / DIGEST_NAME
    expected = digest_file.read_bytes() if digest_file.is_file() else b""
    if expected != _digest_line(digest):
        raise BundleError(f"bundle {path}: {MANIFEST_NAME} does not match {DIGEST_NAME}; {_REMEDY}")
    manifest = manifest_format.loads(text)
    for entry in manifest.files.values():
        _check_stored(path, entry)
    return Bundle(path, manifest, digest)


def _digest_line(digest: str) -> bytes:
    return f"{digest}  {MANIFEST_NAME}\n".encode()


def _decoded(root: Path, entry: FileEntry) -> bytes:
    """The checked, decoded bytes of one entry."""
    stored = _stored(root, entry)
    if entry.encoding == "none":
        content = stored
    elif entry.encoding == "xz":
        import lzma

        try:
            # one byte more than announced is enough to see that it is too long, and no bomb gets further
            content = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY).decompress(
                stored, max_length=entry.decoded_size_bytes + 1
            )
        except lzma.LZMAError as error:
            raise BundleError(f"bundle {root}: {entry.path} is not valid xz ({error}); {_REMEDY}") from error
    else:
        from fer_edge.contract import bits1  # numpy, which `fer-edge doctor` must do without

        content = bits1.decode(stored, entry.decoded_size_bytes)
    _check(root, entry.path, content, entry.decoded_size_bytes, entry.decoded_sha256)
    return content


def _stored(root: Path, entry: FileEntry) -> bytes:
    """The checked bytes of one entry as they lie in the bundle."""
    stored = _file(root, entry).read_bytes()
    _check(root, entry.path, stored, entry.size_bytes, entry.sha256)
    return stored


def _check_stored(root: Path, entry: FileEntry) -> None:
    """Checks one entry, block by block: a run looks at its bundle on each reload, and what it holds meanwhile stays."""
    with _file(root, entry).open("rb", buffering=0) as file:
        digest = _digest_of(iter(lambda: file.read(_BLOCK_BYTES), b""))
    _check_digest(root, entry.path, digest, entry.sha256)


def _file(root: Path, entry: FileEntry) -> Path:
    """Where the entry lies; its size is right."""
    file = root / entry.path
    if not file.is_file() or not file.resolve().is_relative_to(root.resolve()):
        raise BundleError(f"bundle {root}: {entry.path} is missing or leads outside the bundle; {_REMEDY}")
    _check_size(root, entry.path, file.stat().st_size, entry.size_bytes)  # before reading: it may be huge
    return file


def _check(root: Path, name: str, content: bytes, size_bytes: int, sha256: str) -> None:
    _check_size(root, name, len(content), size_bytes)
    _check_digest(root, name, _digest(content), sha256)


def _check_digest(root: Path, name: str, found: str, expected: str) -> None:
    if found != expected:
        raise BundleError(f"bundle {root}: {name} is damaged (its sha256 differs from the manifest's); {_REMEDY}")


def _check_size(root: Path, name: str, found: int, expected: int) -> None:
    if found != expected:
        raise BundleError(f"bundle {root}: {name} has {found} bytes, expected {expected}; {_REMEDY}")


def encode_file(
    path: str,
    content: bytes,
    encoding: Literal["none", "xz", "bits1"] = "none",
    regions: Sequence[Region] = (),
) -> tuple[FileEntry, bytes]:
    """One bundle file: its manifest entry and the bytes to store; ``regions`` are for ``bits1``."""
    if encoding == "bits1":
        from fer_edge.contract import bits1

        stored = bits1.encode(content, regions)
    else:
        import lzma

        stored = content if encoding == "none" else lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)
    entry = FileEntry(
        path=path,
        encoding=encoding,
        size_bytes=len(stored),
        sha256=_digest(stored),
        decoded_size_bytes=len(content),
        decoded_sha256=_digest(content),
    )
    return entry, stored


def write_bundle(path: Path, manifest: Manifest, stored: dict[str, bytes]) -> Bundle:
    """Writes a bundle as a whole or not at all; one that stood there before is replaced only when this one is complete.

    Args:
        path: the folder to make.
        manifest: whose ``files`` describe ``stored``.
        stored: bytes by role.

    Raises:
        BundleError: ``path`` holds something that is not an older bundle's.
        OSError: the disk is full or not writable; nothing is left behind.
    """
    from fer_edge.contract.replace import replace_folder  # who reads a bundle writes none

    if stored.keys() != manifest.files.keys():
        raise SchemaError("manifest.files", f"roles {sorted(manifest.files)} differ from the contents {sorted(stored)}")

    def fill(folder: Path) -> None:
        for role, content in stored.items():
            file = folder / manifest.files[role].path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        text = manifest_format.dumps(manifest).encode()
        (folder / MANIFEST_NAME).write_bytes(text)
        (folder / DIGEST_NAME).write_bytes(_digest_line(_digest(text)))
        open_bundle(folder)
        for entry in manifest.files.values():
            _decoded(folder, entry)

    replace_folder(path, fill, files_of_bundle)
    return open_bundle(path)


def check_output(path: Path) -> None:
    """Refuses a folder that ``write_bundle`` would refuse, before the work of a conversion is done.

    Raises:
        BundleError: it holds something that is not an older bundle's.
    """
    from fer_edge.contract.replace import check_replaceable

    check_replaceable(path, files_of_bundle)


def files_of_bundle(path: Path) -> set[str]:
    """The files that we made in a bundle's folder: those its manifest lists, itself, and probes cut from it.

    Raises:
        BundleError: there is no manifest of ours.
    """
    found = path / MANIFEST_NAME
    if not found.is_file():
        raise BundleError(
            f"output {path}: is not empty and holds no bundle; expected a new or empty folder, or a bundle"
        )
    try:
        manifest = manifest_format.loads(found.read_bytes())
    except SchemaError as error:
        raise BundleError(
            f"output {path}: its {MANIFEST_NAME} is not one of a bundle ({error}); expected a new or empty folder, or "
            "a bundle: name another folder, or remove this one yourself"
        ) from error
    names = {entry.path for entry in manifest.files.values()} | {MANIFEST_NAME, DIGEST_NAME}
    if (path / PROBES).is_dir():
        names |= {f"{PROBES}/{name}" for name in files_of_probes(path / PROBES)}
    return names


def files_of_probes(path: Path) -> set[str]:
    """The files that ``fer-host probes`` made in a folder: its index, and those that the index lists.

    Raises:
        BundleError: there is no index of ours.
    """
    from fer_edge.contract import latency

    found = path / latency.INDEX_NAME
    try:
        listed = latency.load_probes(found.read_bytes()).rows if found.is_file() else None
    except SchemaError as error:
        raise BundleError(f"probes {path}: its {latency.INDEX_NAME} is not one of ours ({error})") from error
    if listed is None:
        raise BundleError(
            f"probes {path}: holds no {latency.INDEX_NAME}; expected a new or empty folder, or older probes"
        )
    return {latency.INDEX_NAME, *(row.file for row in listed)}
