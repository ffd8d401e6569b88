"""Read this first: what is in an archive and how it is written. The same inputs give the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tarfile
import tempfile
from pathlib import Path

from fer_edge.contract.bundle import DIGEST_NAME, MANIFEST_NAME, open_bundle
from fer_edge.contract.manifest import Manifest
from fer_edge.contract.whole import whole_file
from fer_host.errors import PackError
from fer_host.files.paths import ROOT, WHEELS
from fer_host.pack.licenses import licenses_text
from fer_host.pack.parts import archive_parts
from fer_host.pack.sbom import sbom_text
from fer_host.pack.signature import check_key, sign
from fer_host.pack.targets import TARGETS, Target, find_target, target_document
from fer_host.pack.wheels import EPOCH, build_wheel, dependency_wheels, extras_for, unpacked_bytes

INSTALLER = ("install.sh", "fer-edge.service")
SUMS = "SHA256SUMS"
LICENSES, SBOM = "LICENSES.txt", "sbom.cdx.json"  # what is inside and under which terms, for people and for programs
# What an installation takes beside the bundle and the unpacked wheels (measured, tests/e2e/test_install.py guards it):
# an empty environment with pip, and what Python compiles, as a share of the unpacked wheels.
EMPTY_VENV_BYTES = 15_000_000
COMPILED_SHARE = 0.25
# Wheels of an online archive are not here to be measured: the largest target's, unpacked, and pip's copies of them.
ONLINE_WHEELS_BYTES = 330_000_000


def pack(
    bundle_path: Path, out: Path, target_name: str | None = None, offline: bool = False, key: Path | None = None
) -> Path:
    """Writes ``<model>-<version>[-<target>][-offline].tar.gz``, complete or not at all.

    Args:
        bundle_path: the bundle's folder.
        out: folder to write into.
        target_name: see TARGETS; None makes an archive for every machine that has a network.
        offline: bring every dependency's wheel for the target.
        key: of OpenSSH, signs the list of digests, for ``install.sh --require-signature``.

    Raises:
        BundleError: there is no sound bundle at ``bundle_path``.
        PackError: an unknown target, offline without one, or no such key.
        ToolError: a wheel could not be built or downloaded.
    """
    if offline and target_name is None:
        raise PackError(f"OFFLINE=1: no TARGET given; wheels are made for one machine: one of {', '.join(TARGETS)}")
    target = find_target(target_name) if target_name is not None else None
    if key is not None:
        check_key(key)
    bundle = open_bundle(bundle_path)
    name = "-".join(
        [bundle.manifest.model_id, bundle.manifest.version]
        + ([target.name] if target else [])
        + (["offline"] if offline else [])
    )
    with tempfile.TemporaryDirectory() as scratch:
        wheel = build_wheel(Path(scratch))
        wheels = []
        if target and offline:
            wheels = dependency_wheels(target, wheel, WHEELS, extras_for(target, bundle.manifest))
        folder = Path(scratch, "stage", name)
        _stage(folder, bundle.path, bundle.manifest, target, wheel, wheels)
        if key is not None:
            sign(folder / SUMS, key)
        return _write(folder, out / f"{name}.tar.gz")


def _stage(
    folder: Path, bundle_path: Path, manifest: Manifest, target: Target | None, wheel: Path, wheels: list[Path]
) -> None:
    """Everything that goes into the archive, last the digests of it all."""
    folder.mkdir(parents=True)
    bundle_bytes = _copy_bundle(bundle_path, manifest, folder / "bundle")
    for source in (*(ROOT / "device" / name for name in INSTALLER), ROOT / "LICENSE", wheel):
        shutil.copy(source, folder / source.name)
    if wheels:
        (folder / "wheels").mkdir()
        for path in wheels:
            shutil.copy(path, folder / "wheels" / path.name)
    parts = archive_parts(folder, manifest)
    (folder / LICENSES).write_text(licenses_text(manifest, parts))
    (folder / SBOM).write_text(sbom_text(folder.name, manifest.version, parts))
    compiled = (1 + COMPILED_SHARE) * unpacked_bytes(wheels) if wheels else ONLINE_WHEELS_BYTES
    needed = EMPTY_VENV_BYTES + bundle_bytes + int(compiled)
    (folder / "target.json").write_text(
        target_document(manifest.model_id, manifest.version, target, bool(wheels), needed)
    )
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files]
    (folder / SUMS).write_text("".join(sums))


def _copy_bundle(bundle_path: Path, manifest: Manifest, target: Path) -> int:
    """Copies what the manifest lists, and nothing else that lies there: the size in bytes. The copy is checked."""
    for name in (MANIFEST_NAME, DIGEST_NAME, *(entry.path for entry in manifest.files.values())):
        file = target / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle_path / name, file)
    open_bundle(target)
    return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


def _write(folder: Path, target: Path) -> Path:
    """A tar.gz of ``folder`` without the time, names or umask of the machine that made it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        whole_file(target) as unfinished,
        unfinished.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=int(EPOCH)) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for path in [folder, *sorted(folder.rglob("*"))]:
            archive.add(path, path.relative_to(folder.parent).as_posix(), recursive=False, filter=_anonymous)
    return target


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = int(EPOCH)
    entry.mode = 0o755 if entry.isdir() or entry.name.endswith(".sh") else 0o644
    return entry
