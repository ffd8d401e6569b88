"""End to end: the commands as a user runs them, on the bundle that ``make convert MODEL=hawqc_mbv2`` made."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # install_helpers.py

from install_helpers import install, unpack

from fer_host.pack import pack

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def data() -> Path:
    """The real faces of ``../shared/data`` or ``FER_DATA``."""
    folder = Path(os.environ.get("FER_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "fer2013").is_dir():
        pytest.skip(f"no real faces at {folder}: set FER_DATA to run this")
    return folder


@pytest.fixture(scope="session")
def bundle() -> Path:
    path = Path(os.environ.get("FER_TEST_BUNDLE") or ROOT / "dist" / "hawqc_mbv2")
    if not path.is_dir():
        pytest.fail(f"{path} is not there: run `make convert MODEL=hawqc_mbv2` (make test makes one)")
    return path


@pytest.fixture
def bundle_copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs ``fer-edge`` or ``fer-host`` as a process of its own, from the project's root unless told otherwise."""

    def command(tool: str, *arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        module = {"fer-edge": "fer_edge.cli", "fer-host": "fer_host.cli"}[tool]
        line = [sys.executable, "-m", module, *map(str, arguments)]
        return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False, timeout=600)

    return command


def refused(done: subprocess.CompletedProcess[str], *said: str) -> None:
    """One line on stderr, status 2, nothing of a traceback."""
    assert done.returncode == 2, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert ": error: " in lines[0]
    for words in said:
        assert words in lines[0], lines[0]


@pytest.fixture(name="refused")
def _refused() -> Callable[..., None]:
    return refused


@pytest.fixture(scope="session")
def archive(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The offline archive for this machine; its wheels are downloaded once, into build/wheels."""
    if platform.machine() != "x86_64":
        pytest.skip("no offline archive for this machine: x86 is packed for x86_64")
    return pack(bundle, tmp_path_factory.mktemp("dist"), "x86", offline=True)


@pytest.fixture(scope="session")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(archive, tmp_path_factory.mktemp("unpacked"))


@pytest.fixture
def copy(unpacked: Path, tmp_path: Path) -> Path:
    """An unpacked archive to change (links; a file is changed by replacing it)."""
    return Path(shutil.copytree(unpacked, tmp_path / "archive", copy_function=os.link))


@pytest.fixture(scope="session")
def installed(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    prefix = tmp_path_factory.mktemp("with a blank") / "fer edge"
    done = install(unpacked, prefix)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return prefix
