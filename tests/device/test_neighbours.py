"""Everything that fer-edge writes leaves the files beside it alone, whatever their names: docs/writes.md lists it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fer_edge.contract import kept
from fer_edge.daemon import service
from fer_edge.doctor import pack
from fer_edge.pictures.annotate import write_picture
from fer_edge.profiler import trace
from fer_edge.profiler.memory import reset_peak
from fer_edge.profiler.report import write_text
from fer_edge.setting import tuned
from fer_edge.sinks.csv_file import CsvSink
from fer_edge.sinks.jsonl import JsonlSink
from fer_edge.sinks.web import token_place

Beside = Callable[[Path], Callable[[], list[str]]]


def _picture(path: Path) -> None:
    write_picture(path, np.zeros((8, 8, 3), np.uint8))


def _jsonl(path: Path) -> None:
    JsonlSink(str(path)).close()


def _csv(path: Path) -> None:
    CsvSink(str(path), ["happiness"]).close()


def _video(path: Path) -> None:
    pytest.importorskip("av")
    from fer_edge.sinks.video import VideoSink

    VideoSink(path, 25).close()  # a clip without pictures: the unfinished file goes


WRITERS: dict[str, Callable[[Path], object]] = {
    "a.jpg": _picture,
    "bench.md": lambda path: write_text(path, "text"),
    "trace.json": lambda path: trace.write({}, path),
    "tune.json": lambda path: tuned._write(path, tuned.TuneDoc(())),
    "report.zip": lambda path: pack.pack(path, "{}", path.parent / "no-such-root", lambda *_: ""),
    "a.jsonl": _jsonl,
    "a.csv": _csv,
    "a.mp4": _video,
    "web-token": token_place._kept,
    "config.toml": lambda path: service._write(path, "text", 0o640),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_neighbours_file_survives(name: str, tmp_path: Path, beside: Beside) -> None:
    changed = beside(tmp_path / "out" / name)
    before = set(os.listdir(tmp_path / "out"))
    for _ in range(2):  # a new one, then in place of it
        WRITERS[name](tmp_path / "out" / name)
    assert changed() == []
    assert set(os.listdir(tmp_path / "out")) - before <= {name}, "something is left"


def test_the_cache_leaves_what_it_did_not_put_there(
    tmp_path: Path, beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_EDGE_CACHE", str(tmp_path))
    changed = beside(tmp_path / "decoded" / ("0" * 64))
    for number in range(20):  # more than are kept
        content = str(number).encode()
        assert kept.kept(hashlib.sha256(content).hexdigest(), len(content), lambda content=content: content) == content
    kept.mark("tried", "a", "text")
    assert changed() == []


def test_the_service_comes_and_goes_beside_others(tmp_path: Path, beside: Beside) -> None:
    place = service.Place(tmp_path)
    changed = [beside(place.unit), beside(place.config)]
    place.unit.write_text("[Unit]\n")
    place.config.write_text("# mine\n")
    service.uninstall(place, lambda *_: 0)
    assert not place.unit.exists()
    assert place.config.read_text() == "# mine\n"
    assert [check() for check in changed] == [[], []]


def test_memory_is_reset_by_the_kernels_file_alone(tmp_path: Path, beside: Beside) -> None:
    changed = beside(tmp_path / "proc/self/clear_refs")
    assert reset_peak(tmp_path)
    assert changed() == []
    assert (tmp_path / "proc/self/clear_refs").read_text() == "5"
