"""Decoded files are kept between runs, never trusted blindly, and a folder that cannot be written is no error."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from fer_edge.contract import kept as kept_module
from fer_edge.contract.kept import is_marked, kept, mark, marks

CONTENT = b"a decoded network"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FER_EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


class Decoder:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> bytes:
        self.calls += 1
        return CONTENT


def test_a_file_is_decoded_once(folder: Path) -> None:
    decode = Decoder()
    assert [kept(DIGEST, len(CONTENT), decode) for _ in range(3)] == [CONTENT] * 3
    assert decode.calls == 1
    assert [path.name for path in folder.iterdir()] == [DIGEST]


@pytest.mark.parametrize("damage", [b"another network!!", b"", CONTENT + b"x"])
def test_a_kept_file_that_was_changed_is_decoded_again(folder: Path, damage: bytes) -> None:
    decode = Decoder()
    kept(DIGEST, len(CONTENT), decode)
    (folder / DIGEST).write_bytes(damage)
    assert kept(DIGEST, len(CONTENT), decode) == CONTENT
    assert decode.calls == 2
    assert (folder / DIGEST).read_bytes() == CONTENT


def test_a_place_that_cannot_be_written_only_costs_time(folder: Path) -> None:
    folder.parent.parent.mkdir(exist_ok=True)
    folder.parent.write_text("a file where the folder should be")
    decode = Decoder()
    assert [kept(DIGEST, len(CONTENT), decode) for _ in range(2)] == [CONTENT] * 2
    assert decode.calls == 2


@pytest.mark.bound("KEPT_FILES")
def test_the_oldest_go_when_there_are_too_many(folder: Path) -> None:
    for i in range(20):
        content = bytes([i])
        kept(hashlib.sha256(content).hexdigest(), 1, lambda content=content: content)  # type: ignore[misc]
        newest = folder / hashlib.sha256(content).hexdigest()
        os.utime(newest, (i, i))
    assert len(list(folder.iterdir())) == 16
    assert newest.is_file()


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FER_EDGE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert kept_module.place() == Path("/x/fer-edge")
    monkeypatch.setenv("CACHE_DIRECTORY", "/var/cache/fer-edge:/other")  # systemd's
    assert kept_module.place() == Path("/var/cache/fer-edge")


@pytest.mark.parametrize("loose", ["fer-edge", "decoded"])
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o707])
def test_a_place_that_others_can_write_to_is_not_used(folder: Path, loose: str, mode: int) -> None:
    folder.mkdir(parents=True)
    for path in (folder.parent, folder):
        path.chmod(0o700)
    (folder.parent if loose == "fer-edge" else folder).chmod(mode)
    planted = [folder / DIGEST, *(folder / hashlib.sha256(bytes([i])).hexdigest() for i in range(30))]
    for path in planted:
        path.write_bytes(CONTENT)
    decode = Decoder()
    assert [kept(DIGEST, len(CONTENT), decode) for _ in range(2)] == [CONTENT] * 2
    assert decode.calls == 2  # neither read ...
    assert sorted(folder.iterdir()) == sorted(planted)  # ... nor written, nor cleared


@pytest.mark.skipif(os.geteuid() != 0, reason="files of another user need root")
@pytest.mark.parametrize("whose", ["fer-edge", "decoded"])
def test_another_users_place_is_not_used(folder: Path, whose: str) -> None:
    """As of ``sudo`` that keeps HOME: root neither trusts the user's files nor leaves its own there."""
    folder.mkdir(parents=True, mode=0o755)
    other = folder.parent if whose == "fer-edge" else folder
    os.chown(other, 12345, 12345)
    decode = Decoder()
    assert [kept(DIGEST, len(CONTENT), decode) for _ in range(2)] == [CONTENT] * 2
    assert decode.calls == 2
    assert list(folder.iterdir()) == []


def test_a_link_in_place_of_the_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for i in range(30):
        (elsewhere / hashlib.sha256(bytes([i])).hexdigest()).write_bytes(b"somebody's")
    folder.parent.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)
    assert kept(DIGEST, len(CONTENT), Decoder()) == CONTENT
    assert len(list(elsewhere.iterdir())) == 30


def test_a_sticky_place_as_tmp_will_do(folder: Path) -> None:
    folder.parent.mkdir()
    folder.parent.chmod(0o1777)
    decode = Decoder()
    assert [kept(DIGEST, len(CONTENT), decode) for _ in range(2)] == [CONTENT] * 2
    assert decode.calls == 1


def test_a_new_place_is_usable_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0o000)
    try:
        decode = Decoder()
        assert [kept(DIGEST, len(CONTENT), decode) for _ in range(2)] == [CONTENT] * 2
    finally:
        os.umask(before)
    assert decode.calls == 1
    assert folder.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_mark_that_others_may_have_made_does_not_count(folder: Path, mode: int) -> None:
    """It says that a network was tried and does no harm."""
    mark("tried", DIGEST, "a bundle")
    assert is_marked("tried", DIGEST)
    assert marks("tried") == [(DIGEST, "a bundle")]
    (folder.parent / "tried").chmod(mode)
    assert not is_marked("tried", DIGEST)
    assert marks("tried") == []
    mark("tried", "0" * 64, "another")
    assert [path.name for path in (folder.parent / "tried").iterdir()] == [DIGEST]
