"""The measuring loop: runs one workload, or several by turns, until enough is known."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from fer_edge.profiler import statistics as st

ROUND = 4  # steps of one workload before the next has its turn
MIN_N = 100  # repetitions before a precision is believed
CHECK_S = 0.5


class Workload(Protocol):
    """Something to measure, again and again."""

    @property
    def headline(self) -> str:
        """The stage that stands for the whole."""
        ...

    def step(self) -> dict[str, float]:
        """Does it once; the ms of each stage that ran.

        Raises:
            StopIteration: there is nothing more to do (a camera that ended).
        """
        ...


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Args:
        n: exactly so many repetitions; None goes on to ``precision``, for ``max_s`` at most.
        warmup: repetitions that do not count; None finds out when the timings have settled.
        precision: half the 95% interval of the mean, as a share of the mean.
        max_s: see above.
        duration_s: measure for so long whatever the precision (a soak); overrules ``n``.
    """

    n: int | None = None
    warmup: int | None = None
    precision: float = 0.01
    max_s: float = 20.0
    duration_s: float | None = None


@dataclass
class Recording:
    """Timings of one workload, in order: ms by stage, and when each repetition ended (monotonic clock, s).

    ``index`` says for each stage which repetitions it ran in; a stage that always runs has them all.
    """

    headline: str
    stages: dict[str, array[float]] = field(default_factory=dict)
    index: dict[str, array[int]] = field(default_factory=dict)
    ends_s: array[float] = field(default_factory=lambda: array("d"))
    warmup_n: int = 0
    warmup_settled: bool = True

    def add(self, times_ms: dict[str, float], end_s: float) -> None:
        """One repetition."""
        n = len(self.ends_s)
        for name, ms in times_ms.items():
            if name not in self.stages:
                self.stages[name], self.index[name] = array("d"), array("l")
            self.stages[name].append(ms)
            self.index[name].append(n)
        self.ends_s.append(end_s)

    @property
    def n(self) -> int:
        """Repetitions after the warm-up."""
        return len(self.ends_s) - self.warmup_n

    def times(self, stage: str) -> st.Floats:
        """The stage's ms after the warm-up."""
        where = np.asarray(self.index[stage])
        return np.asarray(self.stages[stage])[where >= self.warmup_n]

    def measured_ends_s(self) -> st.Floats:
        """When each repetition after the warm-up ended."""
        return np.asarray(self.ends_s)[self.warmup_n :]

    def start_s(self) -> float:
        """When the first counted repetition began, as far as known."""
        if self.warmup_n:
            return self.ends_s[self.warmup_n - 1]
        return self.ends_s[0] - self.stages[self.headline][0] / 1000


def measure(
    workloads: Sequence[Workload], plan: Plan, progress: Callable[[str], None] | None = None
) -> list[Recording]:
    """Runs the workloads by turns (A B, B A, A B, …), so that heat, clocks and other processes meet all alike.

    All recordings have the same number of repetitions and the same warm-up, so that their blocks are pairs.
    """
    recordings = [Recording(workload.headline) for workload in workloads]
    started = checked = time.monotonic()
    size = 1 if len(workloads) == 1 else ROUND
    turn = 0
    while True:
        pairs = list(zip(workloads, recordings, strict=True))
        try:
            for workload, recording in pairs if turn % 2 == 0 else reversed(pairs):
                for _ in range(size):
                    times_ms = workload.step()
                    recording.add(times_ms, time.monotonic())
        except StopIteration:
            _level(recordings)
            break
        turn += 1
        now = time.monotonic()
        if plan.duration_s is not None:
            if now - started >= plan.duration_s:
                break
        elif plan.n is not None:
            if plan.warmup is not None:
                if len(recordings[0].ends_s) >= plan.n + plan.warmup:
                    break
            elif len(recordings[0].ends_s) >= plan.n + _warmup(recordings)[0] or len(recordings[0].ends_s) > 3 * plan.n:
                break
        elif now - checked >= CHECK_S:
            checked = now
            if now - started >= plan.max_s or _is_enough(recordings, plan):
                break
        if progress is not None and now - checked < 0.05:
            progress(f"{len(recordings[0].ends_s)} repetitions, {now - started:.0f} s")
    _cut(recordings, plan)
    return recordings


def precision(recording: Recording) -> st.Interval:
    """The 95% interval of the headline's mean."""
    times = recording.times(recording.headline)
    size, count = st.block_edges(len(times))
    return st.interval(st.in_blocks(times, size, count).mean(axis=1))


def _is_enough(recordings: list[Recording], plan: Plan) -> bool:
    _cut(recordings, plan)
    enough = all(r.n >= MIN_N and precision(r).precision <= plan.precision for r in recordings)
    for recording in recordings:
        recording.warmup_n = 0
    return enough


def _cut(recordings: list[Recording], plan: Plan) -> None:
    """Sets the same warm-up for all: that of the one that needs most; a fixed ``n`` keeps its last n."""
    cut, settled = (plan.warmup, True) if plan.warmup is not None else _warmup(recordings)
    total = len(recordings[0].ends_s)
    if plan.duration_s is not None:  # a soak shows how timings change: they never settle, and the start is part of it
        cut = min(cut, total // 20)
    if plan.n is not None and plan.duration_s is None and total > plan.n:
        cut = total - plan.n
    for recording in recordings:
        recording.warmup_n, recording.warmup_settled = min(cut, max(0, total - 2)), settled


def _warmup(recordings: list[Recording]) -> tuple[int, bool]:
    found = [st.warmup_end(recording.stages[recording.headline]) for recording in recordings]
    return max(cut for cut, _ in found), all(settled for _, settled in found)


def _level(recordings: list[Recording]) -> None:
    """Drops what one workload did more than the others when its source ended."""
    n = min(len(recording.ends_s) for recording in recordings)
    for recording in recordings:
        del recording.ends_s[n:]
        for name, where in recording.index.items():
            keep = sum(1 for i in where if i < n)
            del recording.stages[name][keep:], where[keep:]
