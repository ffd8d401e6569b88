"""Read this first: what is in an archive and how it is written. The same inputs give the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from fer_edge.contract.bundle import DIGEST_NAME, MANIFEST_NAME, open_bundle
from fer_edge.contract.manifest import Manifest
from fer_host.errors import PackError
from fer_host.files.paths import ROOT, WHEELS
from fer_host.pack.signature import check_key, sign
from fer_host.pack.targets import TARGETS, Target, find_target, target_document
from fer_host.pack.wheels import EPOCH, build_wheel, dependency_wheels, metadata, unpacked_bytes

INSTALLER = ("install.sh", "fer-edge.service")
SUMS = "SHA256SUMS"
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
        wheels = dependency_wheels(target, wheel, WHEELS) if target and offline else []
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
    (folder / "LICENSES.txt").write_text(_licenses(manifest, wheels))
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


def _licenses(manifest: Manifest, wheels: list[Path]) -> str:
    """The terms of everything in the archive that is not the project's own."""
    lines = ["fer-edge itself: Apache-2.0, see LICENSE.", "", f"The bundle {manifest.model_id} {manifest.version}:"]
    lines += [f"- {entry.component}: {entry.license}\n  {entry.origin}" for entry in manifest.licenses]
    if wheels:
        lines += ["", "The wheels, unchanged as published on pypi.org (each holds its license's full text):"]
    for wheel in wheels:
        about = metadata(wheel)
        classified = [line for line in about.get_all("Classifier", []) if line.startswith("License ::")]
        terms = about.get("License-Expression") or (about.get("License") or "").strip().partition("\n")[0]
        if not terms or terms.startswith("Copyright"):
            terms = "; ".join(line.rpartition(" :: ")[2] for line in classified) or "see the wheel"
        lines.append(f"- {about['Name']} {about['Version']}: {terms}")
    return "\n".join(lines) + "\n"


def _write(folder: Path, target: Path) -> Path:
    """A tar.gz of ``folder`` without the time, names or umask of the machine that made it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with (
            temporary.open("wb") as file,
            gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=int(EPOCH)) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
        ):
            for path in [folder, *sorted(folder.rglob("*"))]:
                archive.add(path, path.relative_to(folder.parent).as_posix(), recursive=False, filter=_anonymous)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = int(EPOCH)
    entry.mode = 0o755 if entry.isdir() or entry.name.endswith(".sh") else 0o644
    return entry
