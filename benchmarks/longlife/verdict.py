"""Was it well? Pure: from what was recorded to one row per promise."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from longlife.plan import BOUND_S, LOSSES, MINUTELY

WARM_S, WINDOW_S = 600.0, 600.0  # not judged; and the length of both ends that are compared
MOST_GROWTH_BYTES = 3_000_000
AGE_S, FRAME_TIMES = 0.5, 3.0  # of a frame: well, on a machine that others use too; or so many times a frame's own time
Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Verdict:
    """One promise, what was found, and whether it was kept."""

    promise: str
    found: str
    kept: bool


def ends(samples: Rows) -> tuple[Rows, Rows]:
    """The samples of the first window after the warm-up, and of the last; shorter ones of a short run."""
    total_s = samples[-1]["t_s"] if samples else 0.0
    warm_s, window_s = min(WARM_S, total_s / 4), min(WINDOW_S, total_s / 4)
    first = [s for s in samples if warm_s <= s["t_s"] < warm_s + window_s]
    return first, [s for s in samples if s["t_s"] >= total_s - window_s]


def compared(samples: Rows, key: str) -> tuple[float, float]:
    """Medians of both ends."""
    first, last = ends(samples)
    return statistics.median(s[key] for s in first), statistics.median(s[key] for s in last)


def judge(samples: Rows, events: Rows, end: dict[str, Any]) -> list[Verdict]:
    """All rows.

    Args:
        samples: lines of samples.jsonl.
        events: lines of events.jsonl.
        end: of end.json; empty where the run was cut short.
    """
    if len(samples) < 8:
        return [Verdict("long enough to be judged", f"{len(samples)} samples, expected at least 8", False)]
    rows = [_memory(samples), *(_steady(samples, key) for key in ("fds", "threads")), _age(samples)]
    rows += [_loss(event.name, events) for event in LOSSES]
    rows += [_minutely(event.name, events) for event in MINUTELY]
    return [*rows, _lines(samples, end), _whole(samples, end), _end(end)]


def _memory(samples: Rows) -> Verdict:
    before, after = compared(samples, "rss_bytes")
    anon = compared(samples, "anon_bytes")
    text = f"{(after - before) / 1e6:+.2f} MB ({before / 1e6:.1f} to {after / 1e6:.1f} MB resident; anonymous "
    text += f"{anon[0] / 1e6:.1f} to {anon[1] / 1e6:.1f} MB; most {max(s['rss_bytes'] for s in samples) / 1e6:.1f} MB)"
    promise = f"resident memory grows by less than {MOST_GROWTH_BYTES / 1e6:g} MB after the warm-up"
    return Verdict(promise, text, after - before < MOST_GROWTH_BYTES)


def _steady(samples: Rows, key: str) -> Verdict:
    before, after = compared(samples, key)
    name = {"fds": "descriptors", "threads": "threads"}[key]
    found = f"{before:g} to {after:g}; {min(s[key] for s in samples)} to {max(s[key] for s in samples)} at all"
    return Verdict(f"as many {name} at the end (one more or less)", found, abs(after - before) <= 1)


def _age(samples: Rows) -> Verdict:
    """A frame waits for one that is being read, and no longer: however slow the machine is, nothing piles up."""
    looks, late = 0, 0
    for before, now in itertools.pairwise(samples):
        n = now["frames"] - before["frames"]
        if n > 0 and now["age_s"] is not None:
            looks += 1
            late += now["age_s"] > max(AGE_S, FRAME_TIMES * (now["t_s"] - before["t_s"]) / n)
    last, medians = samples[-1], compared([s for s in samples if s["age_s"] is not None], "age_s")
    found = f"{late} of {looks} looks; medians {medians[0] * 1000:.0f} and {medians[1] * 1000:.0f} ms at the ends; of "
    found += f"{last['aged']:.0f} frames {last['aged'] - last['aged_1s']:.0f} over 1 s, "
    found += f"{last['aged'] - last['aged_5s']:.0f} over 5 s; load {statistics.fmean(s['load'] for s in samples):.1f}"
    promise = f"frame age: below {AGE_S:g} s or {FRAME_TIMES:g} times what a frame takes, in 99 of 100 looks"
    return Verdict(promise, found, looks > 0 and late <= 0.01 * looks)


def _loss(name: str, events: Rows) -> Verdict:
    times = [e.get("recovered_s") for e in events if e["kind"] == name]
    back = [t for t in times if t is not None]
    found = f"{len(back)} of {len(times)}"
    if back:
        found += f", after {statistics.median(back):.1f} s (median), {max(back):.1f} s at most"
    what = {"broker": "broker killed", "camera": "camera lost", "clock": "clock moved", "disk": "disk full"}[name]
    return Verdict(f"{what}: all is well again within {BOUND_S:g} s", found, len(back) == len(times) and bool(times))


def _minutely(name: str, events: Rows) -> Verdict:
    done = [e for e in events if e["kind"] == name]
    bad = [e for e in done if not e["ok"]]
    found = f"{len(done) - len(bad)} of {len(done)}" + (f"; {bad[0]['said']}" if bad else "")
    what = {"photo": "every photo is read", "reload": "every SIGHUP is taken", "page": "the browser sees the picture"}
    return Verdict(what[name], found, not bad and bool(done))


def _lines(samples: Rows, end: dict[str, Any]) -> Verdict:
    promise, of = "lines written = frames read less those that are counted as dropped", end or samples[-1]
    off = of["lines"] - (of["frames"] - of["dropped_jsonl"])
    found = f"{of['lines']:.0f} lines of {of['frames']:.0f} frames, {of['dropped_jsonl']:.0f} dropped"
    if not end:
        return Verdict(promise, f"{found}; not at rest, off by {off:.0f}", abs(off) < 200)
    return Verdict(promise, found, off == 0 and of["frames"] > 0)


def _whole(samples: Rows, end: dict[str, Any]) -> Verdict:
    torn = (end or samples[-1])["torn"]
    rows = (end or samples[-1])["rows"]
    found = f"{len(torn)} torn of the lines and {rows:.0f} rows" + (f"; {torn[0]}" if torn else "")
    return Verdict("every line and every row of the CSV is whole", found, not torn and rows > 0)


def _end(end: dict[str, Any]) -> Verdict:
    if not end:
        return Verdict("one process from start to end", "the run was cut short", False)
    return Verdict("one process from start to end, status 0", f"status {end['status']}", end["status"] == 0)


def rate(samples: Rows, read: Callable[[dict[str, Any]], float]) -> float:
    """Of something counted, per second, over all samples."""
    seconds = samples[-1]["t_s"] - samples[0]["t_s"]
    return (read(samples[-1]) - read(samples[0])) / seconds if seconds else 0.0
