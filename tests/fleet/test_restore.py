"""The script that brings a board back: who comes first, the guard or the roll-out. Its installer here only notes."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from fleet_boards import PROJECT

SCRIPT = PROJECT / "device/fleet/roles/fer_edge/files/restore.sh"
pytestmark = pytest.mark.skipif(
    Path("/etc/systemd/system/fer-edge.service").exists() or Path("/etc/fer-edge").exists(),
    reason="fer-edge is installed on this machine, which the script would touch",
)


class Place:
    """A stage that a roll-out made, and an installation that went from ``old`` to ``new``."""

    def __init__(self, folder: Path) -> None:
        self.stage, self.prefix = folder / "stage", folder / "prefix"
        (self.stage / "before/etc").mkdir(parents=True)
        (self.stage / "restore.sh").write_bytes(SCRIPT.read_bytes())
        (self.stage / "before/files").write_text("")
        (self.stage / "before/version").write_text("versions/old\n")
        for name in ("old", "new"):
            (self.prefix / "versions" / name).mkdir(parents=True)
            note = f'cd {self.prefix}\necho "$1" >>calls\n[ "$1" != --rollback ] || ln -sfn versions/old current\n'
            (self.prefix / "versions" / name / "install.sh").write_text(note)
        (self.prefix / "current").symlink_to("versions/new")
        (self.prefix / "previous").symlink_to("versions/old")

    def run(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        line = ["sh", str(self.stage / "restore.sh"), verb, str(self.stage), *words]
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)

    def calls(self) -> list[str]:
        path = self.prefix / "calls"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def guard_went_back(place: Place) -> None:
    assert place.run("arm", "0", str(place.prefix)).returncode == 0
    until = time.monotonic() + 50
    while (place.stage / "restore.pid").exists():
        assert time.monotonic() < until, (place.stage / "restore.log").read_text()
        time.sleep(0.05)
    assert place.calls() == ["--rollback"]


def test_a_board_that_went_back_by_itself_is_not_brought_back_twice(place: Place) -> None:
    """It was taken for one that had nothing before, and uninstalled."""
    guard_went_back(place)
    done = place.run("now", str(place.prefix))
    assert done.returncode == 0, done.stderr
    assert place.calls() == ["--rollback"]


def test_a_board_that_went_back_by_itself_is_not_confirmed(place: Place) -> None:
    """It was said to be updated."""
    guard_went_back(place)
    done = place.run("confirm")
    assert done.returncode == 1
    assert "went back by itself" in done.stderr


def test_without_what_was_there_before_nothing_is_touched(place: Place) -> None:
    (place.stage / "before/version").unlink()
    done = place.run("now", str(place.prefix))
    assert done.returncode == 1
    assert "error" in done.stderr
    assert place.calls() == []


def test_a_board_that_is_confirmed_stays(place: Place) -> None:
    assert place.run("arm", "600", str(place.prefix)).returncode == 0
    pid = int((place.stage / "restore.pid").read_text())
    assert place.run("confirm").returncode == 0
    until = time.monotonic() + 50
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < until, "the guard is still there"
        time.sleep(0.05)
    assert place.calls() == []
    assert (place.prefix / "current").readlink() == Path("versions/new")


def test_a_roll_out_that_failed_brings_back_at_once(place: Place) -> None:
    assert place.run("arm", "600", str(place.prefix)).returncode == 0
    done = place.run("now", str(place.prefix))
    assert done.returncode == 0, done.stderr
    assert place.calls() == ["--rollback"]
    assert (place.prefix / "current").readlink() == Path("versions/old")
