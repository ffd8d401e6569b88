"""Files that are made whole or not at all, and what lies beside them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from fer_edge.contract.whole import whole_file


def test_it_takes_its_place_with_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "a.png") as file:
            file.write_bytes(b"new")
            assert not (tmp_path / "a.png").exists()
        with whole_file(tmp_path / "secret", 0o600) as file:
            file.write_bytes(b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "secret"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "a").write_text("old")

    def write() -> None:
        with whole_file(tmp_path / "a") as file:
            file.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def test_no_name_is_taken_for_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where somebody guesses the name: a link there would be written through."""
    monkeypatch.setattr("os.urandom", lambda n: b"\0" * n)
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / ".a.00000000.tmp").symlink_to(tmp_path / "theirs")
    with pytest.raises(FileExistsError), whole_file(tmp_path / "a") as file:
        file.write_text("new")
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert (tmp_path / ".a.00000000.tmp").is_symlink()


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "a").symlink_to(tmp_path / "theirs")
    with whole_file(tmp_path / "a") as file:
        file.write_text("new")
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert not (tmp_path / "a").is_symlink()


@pytest.mark.parametrize("name", ["ä" * 127, "x" * 255, "\udcff"])
def test_long_and_odd_names(tmp_path: Path, name: str) -> None:
    with whole_file(tmp_path / name) as file:
        file.write_text("new")
    assert (tmp_path / name).read_text() == "new"
