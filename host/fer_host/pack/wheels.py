"""Wheels of an archive: fer-edge's own, and for an offline archive every dependency's, downloaded once and checked.

A set of downloaded wheels stays in ``build/wheels/``, under a name that changes with anything that decides it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from fer_edge import __version__
from fer_edge.contract.manifest import Manifest
from fer_host.device_pipeline import device_parser
from fer_host.errors import PackError, ToolError
from fer_host.files.paths import ROOT
from fer_host.pack.pages import write_pages
from fer_host.pack.targets import Target

EXTRAS = "litert,mqtt,opencv"
LOWEST_NUMPY = Version("1.24")  # of fer-edge; an older one of the system's is left alone and not used
EPOCH = "315532800"  # 1980-01-01, the oldest time that a zip file holds
_SUMS = "SHA256SUMS"


def build_wheel(scratch: Path) -> Path:
    """Builds fer-edge's wheel in ``scratch``, with its manual page and completion; the same source, the same bytes.

    Raises:
        ToolError: pip failed.
    """
    # built from a copy: setuptools would leave a build folder in the tree and take its stale files next time
    source = scratch / "device"
    shutil.copytree(ROOT / "device", source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    write_pages(source / "share", device_parser(), __version__)
    for path in (source, *source.rglob("*")):  # modes go into the wheel, and depend on who checked the files out
        path.chmod(0o755 if path.is_dir() else 0o644)
    options = ["--no-deps", "--wheel-dir", str(scratch)]
    if importlib.util.find_spec("setuptools"):  # else pip downloads it
        options.append("--no-build-isolation")
    _pip(["wheel", *options, str(source)], "wheel of device/", SOURCE_DATE_EPOCH=EPOCH)
    return next(scratch.glob("*.whl"))


def extras_for(target: Target, manifest: Manifest) -> str:
    """What an archive brings: onnxruntime where the bundle has variants for it. A Jetson's is NVIDIA's own build."""
    is_onnx = any(variant.format == "onnx" for variant in manifest.variants)
    return f"{EXTRAS},onnx" if is_onnx and not target.name.startswith("jetson") else EXTRAS


def dependency_wheels(target: Target, wheel: Path, cache: Path, extras: str = EXTRAS) -> list[Path]:
    """Every dependency's wheel for ``target``, from ``cache`` or downloaded into it, and checked.

    Args:
        target: the machine.
        wheel: fer-edge's own.
        cache: folder of wheel sets, e.g. ``build/wheels``.
        extras: of fer-edge, with commas; see ``extras_for``.

    Raises:
        ToolError: pip could not download or resolve.
        PackError: a wheel does not run on the target, or does not go with its NumPy.
    """
    pins = _pins(target)
    needs = sorted(map(str, _needs(target, wheel, extras.split(","))))
    asked = "\n".join([*pins, *target.platforms, target.python_version, *needs])
    folder = cache / f"{target.name}-{target.python_version}-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"
    if not _is_whole(folder):
        shutil.rmtree(folder, ignore_errors=True)
        _download(target, wheel, pins, folder, extras)
    wheels = sorted(folder.glob("*.whl"))
    check_wheels(target, wheel, wheels, extras)
    return wheels


def check_wheels(target: Target, wheel: Path, wheels: list[Path], extras: str = EXTRAS) -> None:
    """Every wheel has a tag of the target's, goes with its own NumPy, and none is missing.

    Raises:
        PackError: names the wheel that does not fit.
        ToolError: pip cannot install fer-edge from these wheels alone.
    """
    versions = {}
    for path in wheels:
        try:
            name, version, _, tags = parse_wheel_filename(path.name)
        except InvalidWheelFilename as error:
            raise PackError(f"{path}: not a wheel's name ({error}); remove it and pack again") from error
        if not tags & target.tags:
            raise PackError(
                f"{path}: does not run on {target.name}, expected Python {target.python_version} on {target.machine} "
                f"with glibc 2.{target.glibc_minor} or older; remove it and pack again"
            )
        versions[name] = version
    keeps_numpy = bool(target.system_numpy) and Version(target.system_numpy) >= LOWEST_NUMPY
    for path in [wheel, *wheels]:
        for need in _needs(target, path, extras.split(",") if path == wheel else [""]):
            found = versions.get(canonicalize_name(need.name))
            if found is None or not need.specifier.contains(found):
                raise PackError(f"{path.name}: needs {need} on {target.name}, found {found or 'no such wheel'}")
            if need.name == "numpy" and keeps_numpy and not need.specifier.contains(target.system_numpy):
                raise PackError(
                    f"{path.name}: needs {need}, but {target.name}'s own NumPy is {target.system_numpy} and has to "
                    "stay; pin an older version in targets.py"
                )
    with tempfile.TemporaryDirectory() as scratch:
        links = Path(scratch, "wheels")
        links.mkdir()
        for path in wheels:
            (links / path.name).symlink_to(path.resolve())
        command = ["install", "--dry-run", "--ignore-installed", "--no-index", "--find-links", str(links)]
        command += ["--target", str(Path(scratch, "installed")), *_platform(target), f"{wheel}[{extras}]"]
        _pip(command, f"wheels for {target.name}", PIP_FIND_LINKS="", PIP_CONFIG_FILE=os.devnull)


def metadata(wheel: Path) -> Message:
    """A wheel's METADATA; raises PackError where there is none."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            return HeaderParser().parsestr(archive.read(name).decode())
    except (zipfile.BadZipFile, StopIteration) as error:
        raise PackError(f"{wheel}: not a wheel that can be read; remove it and pack again") from error


def unpacked_bytes(wheels: list[Path]) -> int:
    """What the wheels' files take when installed, without what Python compiles."""
    total = 0
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            total += sum(entry.file_size for entry in archive.infolist())
    return total


def _pins(target: Target) -> list[str]:
    """constraints.txt, with the target's own pins in place of its."""
    own = target.own_pins
    replaced = {canonicalize_name(pin.partition("==")[0]) for pin in own}
    lines = [line.strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    shared = [line for line in lines if line and not line.startswith("#")]
    return [*(line for line in shared if canonicalize_name(line.partition("==")[0]) not in replaced), *own]


def _needs(target: Target, wheel: Path, extras: list[str]) -> list[Requirement]:
    """What a wheel requires on the target; pip asks the Python that packs instead whether a need applies."""
    environment = {
        "python_version": target.python_version,
        "python_full_version": f"{target.python_version}.0",
        "platform_machine": target.machine,
        "platform_system": "Linux",
        "sys_platform": "linux",
    }
    needs = [Requirement(text) for text in _requirements(wheel)]
    return [
        need
        for need in needs
        if need.marker is None or any(need.marker.evaluate({**environment, "extra": extra}) for extra in extras)
    ]


def _requirements(wheel: Path) -> list[str]:
    return sorted(metadata(wheel).get_all("Requires-Dist", []))


def _platform(target: Target) -> list[str]:
    flags = [word for platform in target.platforms for word in ("--platform", platform)]
    return ["--only-binary=:all:", *flags, "--python-version", target.python_version, "--implementation", "cp"]


def _is_whole(folder: Path) -> bool:
    """True where the folder holds exactly the wheels, byte for byte, that were once downloaded into it."""
    sums = folder / _SUMS
    if not sums.is_file():
        return False
    pairs = [line.split("  ", 1) for line in sums.read_text().splitlines()]
    expected = {name: digest for digest, name in pairs}
    found = {path.name: _sha256(path) for path in folder.glob("*.whl")}
    return bool(found) and found == expected


def _download(target: Target, wheel: Path, pins: list[str], folder: Path, extras: str) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".download-") as scratch:
        constraints = Path(scratch, "constraints.txt")
        constraints.write_text("\n".join(pins) + "\n")
        fresh = Path(scratch, "wheels")
        command = ["download", "--dest", str(fresh), "--constraint", str(constraints), *_platform(target)]
        # by name too: pip asks the Python that packs whether a need applies (tomli on Python 3.10), not the target's
        needs = _needs(target, wheel, extras.split(","))
        own = [f"{need.name}{need.specifier}" for need in needs if "python_version" in str(need.marker)]
        _pip([*command, f"{wheel}[{extras}]", *own], f"wheels for {target.name}")
        (fresh / wheel.name).unlink()  # pip copies fer-edge's own wheel too, which is packed beside these
        lines = [f"{_sha256(path)}  {path.name}\n" for path in sorted(fresh.glob("*.whl"))]
        (fresh / _SUMS).write_text("".join(lines))
        try:
            os.rename(fresh, folder)
        except OSError:
            if not _is_whole(folder):  # else another run was quicker
                raise


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _pip(arguments: list[str], what: str, **variables: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check", "--no-input"]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, umask=0o022)
    if done.returncode:
        reason = _reason(done.stderr)
        raise ToolError(f"{what}: pip failed ({reason}); expected a network and the environment of `make .venv/.ready`")


def _reason(stderr: str) -> str:
    """The line that tells most; without a network pip speaks of conflicting dependencies."""
    if "Retrying (" in stderr:
        return "the package index cannot be reached"
    lines = stderr.splitlines()
    errors = [line for line in lines if line.startswith("ERROR: ") and "ResolutionImpossible" not in line]
    return (errors or lines or ["pip said nothing"])[-1].removeprefix("ERROR: ")
