"""Fixtures: ARM userlands (see arm_roots.py: unpacked, not installed), and the same commands run here to compare with.

Skipped only where the machine cannot do it at all (no root, no binfmt_misc, not x86-64); a download that fails fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import arm_roots
from arm_roots import PROJECT, Root

from fer_host.pack import pack

N_LONDON = 2  # photos of each expression, where they are present


def _ensure(name: str) -> Root:
    try:
        return arm_roots.ensure(name)
    except arm_roots.ImpossibleError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session", params=["bookworm", "trixie"])
def root(request: pytest.FixtureRequest) -> Root:
    """64-bit ARM: Debian 12 with Python 3.11 on a Pi 4's processor, Debian 13 with Python 3.13 on a Pi 5's."""
    return _ensure(request.param)


@pytest.fixture(scope="session")
def bookworm() -> Root:
    return _ensure("bookworm")


@pytest.fixture(scope="session")
def armhf() -> Root:
    return _ensure("armhf")


@pytest.fixture(scope="session")
def bundle() -> Path:
    path = Path(os.environ.get("FER_TEST_BUNDLE") or PROJECT / "dist" / "hawqc_mbv2").resolve()
    if not path.is_dir():
        pytest.fail(f"{path} is not there: run `make convert MODEL=hawqc_mbv2` (make test-arm64 makes one)")
    return path


@pytest.fixture(scope="session")
def data() -> Path | None:
    """The real faces of ``../shared/data`` or ``FER_DATA``; None where there are none."""
    folder = Path(os.environ.get("FER_DATA") or PROJECT.parent / "shared" / "data").resolve()
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def photos(data: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packaged photos and, where they are present, some London faces (links would not be seen)."""
    packaged = Path(os.environ.get("FER_TEST_PHOTOS") or PROJECT / "build" / "photos")
    folder = tmp_path_factory.mktemp("photos")
    found = sorted(packaged.glob("*.*"))
    assert len(found) >= 2, f"no photos in {packaged}: run `fer-host sample-photo build/photos` (make test-arm64 does)"
    for label in ("happy", "neutral"):
        found += sorted((data / "faces_london" / label).glob("*.jpg"))[:N_LONDON] if data else []
    for path in found:
        (folder / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="session")
def archive(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The unpacked archive of ``make bundle TARGET=pi-bookworm OFFLINE=1``."""
    folder = tmp_path_factory.mktemp("archive")
    with tarfile.open(pack(bundle, folder, "pi-bookworm", offline=True)) as packed:
        packed.extractall(folder / "unpacked", filter="data")
    (script,) = (folder / "unpacked").glob("*/install.sh")
    yield script.parent
    shutil.rmtree(folder)  # pytest would keep the last three, 100 MB each


Edge = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def here() -> Edge:
    """Runs ``fer-edge`` on this machine."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "fer_edge.cli", *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=300, cwd="/")

    return run


def refused(done: subprocess.CompletedProcess[str], *said: str) -> None:
    """One line on stderr, status 2."""
    assert done.returncode == 2, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert "error: " in lines[0]
    for words in said:
        assert words in lines[0], lines[0]


@pytest.fixture(name="refused", scope="session")
def _refused() -> Callable[..., None]:
    return refused
