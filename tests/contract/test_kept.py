"""Decoded files are kept between runs, never trusted blindly, and a folder that cannot be written is no error."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from fer_edge.contract import kept as kept_module
from fer_edge.contract.kept import kept

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
