"""Debian 12's own OpenCV (4.6) and numpy, unpacked beside the system: what boards on bookworm run. 87 MB, once."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import site
import subprocess
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[2] / "build" / "opencv46"
PROGRAM = "/usr/bin/python3"
# of the tests' own environment, which has no numpy and no OpenCV to stand in the way when linked one by one
BORROWED = ("pytest", "_pytest", "py.py", "pluggy", "iniconfig", "packaging", "pygments", "hypothesis", "attr", "attrs")
BORROWED += ("sortedcontainers", "_hypothesis_ftz_detector.py", "_hypothesis_globals.py", "ai_edge_litert")
BORROWED += ("flatbuffers", "google", "typing_extensions.py", "backports", "tqdm")


def environment() -> dict[str, str]:
    """In which ``PROGRAM`` has OpenCV 4.6, fer_edge, the interpreter and pytest; skips the test where it cannot be."""
    release = Path("/etc/os-release").read_text() if Path("/etc/os-release").is_file() else ""
    if "VERSION_CODENAME=bookworm" not in release or platform.machine() != "x86_64" or not shutil.which("dpkg-deb"):
        pytest.skip("not Debian 12 on x86-64: its OpenCV 4.6 does not run here")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        root = CACHE / "root"
        if not root.is_dir():
            _unpack(root)
    libraries = [root / "usr/lib", *(root / "usr/lib/x86_64-linux-gnu" / sub for sub in ("", "blas", "lapack"))]
    paths = [root / "usr/lib/python3/dist-packages", Path(__file__).parents[2] / "device", _borrowed()]
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    env["LD_LIBRARY_PATH"] = ":".join(map(str, libraries))
    env["PYTHONPATH"] = ":".join(map(str, paths))
    done = subprocess.run(
        [PROGRAM, "-c", "import cv2; print(cv2.__version__)"], env=env, capture_output=True, text=True
    )
    if not done.stdout.startswith("4.6"):
        pytest.skip(f"Debian 12's OpenCV does not run here: {(done.stdout + done.stderr).strip()[-200:]}")
    return env


def _unpack(root: Path) -> None:
    wanted = ["python3-opencv", "python3-numpy", "libblas3", "liblapack3", "libgfortran5"]
    line = ["apt-get", "install", "--no-install-recommends", "--reinstall", "--print-uris", "-qq", "-y", *wanted]
    listed = subprocess.run(line, capture_output=True, text=True, check=False)
    addresses = [row.split("'")[1] for row in listed.stdout.splitlines() if row.startswith("'")]
    downloads, partial = CACHE / "debs", CACHE / "partial"
    for folder in (downloads, partial):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    for address in addresses:
        subprocess.run(["wget", "-q", "--tries=2", "--timeout=30", address], cwd=downloads, check=False)
    packages = sorted(downloads.glob("*.deb"))
    if not addresses or len(packages) < len(addresses):
        pytest.skip(f"Debian 12's python3-opencv cannot be fetched: {len(packages)} of {len(addresses)} packages")
    for package in packages:
        subprocess.run(["dpkg-deb", "-x", str(package), str(partial)], check=True)
    shutil.rmtree(downloads)
    partial.rename(root)


def _borrowed() -> Path:
    folder = CACHE / "borrowed"
    folder.mkdir(exist_ok=True)
    for name in BORROWED:
        for packages in site.getsitepackages():
            if (Path(packages) / name).exists() and not (folder / name).exists():
                (folder / name).unlink(missing_ok=True)
                (folder / name).symlink_to(Path(packages) / name)
    return folder
