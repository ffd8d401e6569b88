"""What ``benchmarks/long_life.py`` does when, and how it judges: a run of hours is never a test, its verdict is one."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from longlife.plan import LOSSES, LOST_S, MINUTELY, due
from longlife.verdict import judge
from longlife.watch import Rows, Tail, is_reading, records


def a_life(hours: float = 2.0, **changes: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    """Samples, events and end of a life in which all was well; a change may be a value or a function of the time."""
    seconds = hours * 3600
    samples = []
    for t in range(0, int(seconds), 60):
        sample = {"t_s": float(t), "rss_bytes": 90_000_000, "pss_bytes": 6e7, "anon_bytes": 4e7, "fds": 12}
        sample |= {"threads": 9, "age_s": 0.03, "frames": 30 * t, "aged": 30 * t, "aged_1s": 30 * t, "aged_5s": 30 * t}
        sample |= {"load": 1.0, "lines": 30 * t - 7, "rows": 30 * t, "torn": [], "dropped_jsonl": 7}
        samples.append(sample | {k: v(t) if callable(v) else v for k, v in changes.items() if k in sample})
    events = [{"t_s": t, "kind": kind, "ok": True, "recovered_s": 3.0} for t, kind in due(LOSSES, 0, seconds)]
    events += [{"t_s": t, "kind": kind, "ok": True, "said": ""} for t, kind in due(MINUTELY, 0, seconds)]
    end = {"frames": 1000, "lines": 993, "dropped_jsonl": 7, "rows": 800, "torn": [], "status": 0}
    return samples, events, end | {k: v for k, v in changes.items() if k in end and not callable(v)}


def broken(samples: list[dict[str, Any]], events: list[dict[str, Any]], end: dict[str, Any]) -> list[str]:
    return [verdict.promise for verdict in judge(samples, events, end) if not verdict.kept]


def test_a_good_life_keeps_every_promise() -> None:
    assert broken(*a_life()) == []


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ("resident memory", {"rss_bytes": lambda t: 90_000_000 + 600 * t}),
        ("as many descriptors", {"fds": lambda t: 12 + t // 3000}),
        ("as many threads", {"threads": lambda t: 9 + t // 3000}),
        ("frame age", {"age_s": lambda t: 0.03 + t / 1000}),
        ("lines written", {"lines": 992}),
        ("every line and every row", {"torn": ["line 7"]}),
        ("one process", {"status": 2}),
    ],
)
def test_each_promise_can_be_broken(words: str, changes: dict[str, Any]) -> None:
    assert [promise for promise in broken(*a_life(**changes)) if promise.startswith(words)], words


def test_what_grows_before_the_warm_up_ends_is_not_held_against_it() -> None:
    assert broken(*a_life(rss_bytes=lambda t: min(t, 600) * 50_000)) == []


@pytest.mark.parametrize("kind", ["broker", "camera", "clock", "disk", "photo", "reload", "page"])
def test_one_thing_that_does_not_come_back_breaks_a_promise(kind: str) -> None:
    samples, events, end = a_life()
    next(event for event in events if event["kind"] == kind).update(ok=False, recovered_s=None)
    assert len(broken(samples, events, end)) == 1


def test_a_run_that_was_cut_short_is_judged_as_far_as_it_went() -> None:
    samples, events, _ = a_life(hours=0.5)
    assert broken(samples, events, {}) == ["one process from start to end"]


def test_no_two_losses_fall_together() -> None:
    times = [t for t, _ in due(LOSSES, 0, 7200)]
    assert len(times) == 96
    assert all(b - a > LOST_S for a, b in itertools.pairwise(times))


def test_every_line_is_read_once_and_one_that_was_taken_back_never(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    whole = b'{"schema": "fer-edge/reading/1"}\n'
    tail = Tail(path, is_reading)
    path.write_bytes(whole * 3 + whole[:9])
    tail.start()
    path.write_bytes(whole * 5)
    tail.end()
    assert (tail.lines, tail.torn) == (5, [])
    torn = Tail(path, is_reading)
    path.write_bytes(whole + b"{\n" + whole[:9])
    torn.start()
    torn.end()
    assert (torn.lines, len(torn.torn)) == (2, 2)
    rows = Rows()
    assert [rows(line) for line in (b"a,b", b"1,2", b"1")] == [True, True, False]


def test_a_torn_record_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_text('{"t_s": 1}\n{"t_')
    assert records(tmp_path / "samples.jsonl") == [{"t_s": 1}]
