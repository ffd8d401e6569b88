"""The harness itself sees what it is there for: a crash, a hang, an unexpected error, a word on stderr, and memory."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))
import harness

BROKEN = """
import ctypes, os, time
from contextlib import contextmanager
SILENT = True
def spin(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
@contextmanager
def cases(folder):
    def case(rng, index):
        if index == 3: ctypes.string_at(0)
        if index == 5: raise KeyError("nobody expected this")
        if index == 7: os.write(2, b"a library's line")
        if index == 9: spin(2.0)
        if index == 11: os._exit(5)
        if index == 12: return "large " + str(len(bytearray(os.urandom(1)) * 60_000_000))
        return "read"
    yield case
"""


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "fuzz_broken.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setitem(harness.KINDS, "broken", harness.Kind("", 20, 50_000_000))
    return "broken"


def test_each_broken_promise_is_told_with_its_case(broken: str) -> None:
    done = harness.fuzz(broken, 20, seed=1, hang_s=1.5)
    assert done.cases == 20
    found = "\n".join(done.faults)
    for said in (
        "case 3: the child ended with status -11",
        "case 5: KeyError: 'nobody expected this'",
        'case 7: 16 bytes beside our lines: "a library\'s line"',
        "s of them working",
        "case 11: the child ended with status 5",
        "MB of memory, expected 50 at most",
    ):
        assert said in found, found
    assert done.n_faults == 6
    assert done.answers["read"] + done.answers["unreported"] >= 15


def test_a_child_that_hangs_is_ended(broken: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(harness, "STUCK_S", 1.0)
    (tmp_path / "fuzz_broken.py").write_text(BROKEN.replace("spin(2.0)", "time.sleep(1000)"))
    done = harness.fuzz(broken, 2, seed=1, first=9)
    assert done.faults[0] == "case 9: no end in 1 s"
    assert done.cases == 2


def test_a_case_is_the_same_whatever_ran_before() -> None:
    one = harness.fuzz("documents", 1, seed=1, first=40)
    many = harness.fuzz("documents", 41, seed=1)
    rest = harness.fuzz("documents", 40, seed=1)
    assert many.answers - rest.answers == one.answers


def test_the_bounds_are_stated() -> None:
    for kind in harness.KINDS.values():
        assert kind.what
        assert dataclasses.asdict(kind)["most_bytes"] <= 2_000_000_000
