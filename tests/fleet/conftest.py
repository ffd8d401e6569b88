"""Three simulated boards, for a module's tests."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import fleet_boards as boards
from fleet_boards import PROJECT, Fleet
from fleet_control import ANSIBLE

from fer_host.pack import pack

SMALL_MB = 560  # of an /opt that holds one version and not two


@pytest.fixture(scope="session")
def bundle() -> Path:
    """The one that ``make test`` made."""
    path = Path(os.environ.get("FER_TEST_BUNDLE") or PROJECT / "dist/hawqc_mbv2")
    if not path.is_dir():
        pytest.fail(f"{path} is not there: run `make convert MODEL=hawqc_mbv2` (make test makes one)")
    return path


@pytest.fixture(scope="session")
def archive(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The offline archive for the boards' Debian."""
    return pack(bundle, tmp_path_factory.mktemp("archives"), "x86-trixie", offline=True)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three boards, booted."""
    if boards.missing():
        pytest.skip(boards.missing())
    if not (ANSIBLE / "ansible-playbook").is_file():
        pytest.skip("no Ansible: make fleet (make fleet-test does)")
    folder = boards.CACHE / f"test-{os.getpid()}"
    try:
        with boards.fleet(
            folder, {"one": 0, "two": SMALL_MB, "three": 0}, f"fl{os.getpid() % 1000}-", "10.213.78"
        ) as made:
            yield made
    except boards.ImpossibleError as error:
        pytest.skip(f"boards cannot be booted here: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
