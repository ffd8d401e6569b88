"""What the tests of ``install.sh`` share: running it without a network, what it says, what it left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = getattr(sys, "_base_executable", sys.executable)  # the one that .venv was made from
DEPENDENCIES = {
    "ai_edge_litert", "backports_strenum", "flatbuffers", "ml_dtypes", "numpy", "opencv_python_headless", "paho_mqtt",
    "protobuf", "tqdm", "typing_extensions",
}  # fmt: skip
Done = subprocess.CompletedProcess[str]


def environment(**more: str) -> dict[str, str]:
    """This process' without anything that helps pip."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "FER_"))}
    return {**kept, "PIP_CONFIG_FILE": os.devnull, **more}


def namespace(*flags: str) -> list[str]:
    """The prefix of a command in namespaces of its own; skips where these are not permitted."""
    command = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), *flags]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"{' '.join(command)} is not permitted here")
    return command


def install(folder: Path, prefix: Path | None, *options: object, python: object = PYTHON, **more: str) -> Done:
    """Runs the installer of an unpacked archive without a network."""
    where = [] if prefix is None else ["--prefix", str(prefix)]
    command = [*namespace("--net"), "sh", str(folder / "install.sh"), *where, "--python", str(python)]
    command += map(str, options)
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, env=environment(**more), cwd="/"
    )


def refused(done: Done, *said: str) -> None:
    assert done.returncode == 2, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("install.sh: error: ")
    for words in said:
        assert words in lines[0], lines[0]


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """inode and time of change of everything in a folder."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        about = path.lstat()
        found[str(path.relative_to(folder))] = (about.st_ino, about.st_mtime_ns)
    return found


def unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return next(folder.iterdir())


def replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def sign(folder: Path) -> None:
    """Writes SHA256SUMS anew, as for another release."""
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    listed = [name for name in files if name != "SHA256SUMS"]
    done = subprocess.run(["sha256sum", *listed], cwd=folder, capture_output=True, check=True)
    replace(folder / "SHA256SUMS", done.stdout)


def edge(prefix: Path, *arguments: object) -> Done:
    command = [str(prefix / "bin" / "fer-edge"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment(), cwd="/", timeout=120)


def packages(prefix: Path) -> set[str]:
    """Names of what an installation brought itself."""
    found = (prefix / "current").glob("venv/lib/python3*/site-packages/*.dist-info")
    return {path.name.partition("-")[0].lower() for path in found}


def wrapper(folder: Path, lines: str) -> Path:
    """A python3 that reports something else of itself: runs ``lines`` before the script that it is given."""
    path = folder / "bin" / "python3"
    path.parent.mkdir()
    (folder / "lines.py").write_text(lines + "\n")
    path.write_text(f'#!/bin/sh\ncat "{folder}/lines.py" - | "{PYTHON}" "$@"\n')
    path.chmod(0o755)
    return path
