"""Is `compare` right? The same network against itself, and against itself made slower, many times, measured for real.

python benchmarks/repeat.py dist/hawqc_mbv2     (writes benchmarks/results/repeat.md, exit status 1 beyond the bars)

Bars: of 50 comparisons of a network with itself (interleaved, 99% intervals) at most 3 call a difference; ten percent
more time, spent in a loop after the network, is called slower every time.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path

from clips import machine
from fer_edge.contract.bench import BenchDoc
from fer_edge.contract.bundle import open_bundle
from fer_edge.profiler import interference, session
from fer_edge.profiler.compare import Comparison, compare
from fer_edge.profiler.measure import Plan, measure
from fer_edge.profiler.workloads import ModelWork, Subject
from fer_edge.setting.setting import setting_for
from written import write

PAIRS, SLOWED, N = 50, 10, 400
SLOWER = 0.10


class Slowed(ModelWork):
    """The network, and then a share of its usual time in a loop."""

    def __init__(self, subject: Subject, extra_ms: float) -> None:
        super().__init__(subject)
        self._extra_ms = extra_ms

    def step(self) -> dict[str, float]:
        """See ``Workload.step``."""
        times_ms = super().step()
        end = time.perf_counter() + self._extra_ms / 1000
        while time.perf_counter() < end:
            pass
        return {"infer": times_ms["infer"] + self._extra_ms}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--slowed", type=int, default=SLOWED)
    arguments = parser.parse_args()
    bundle = open_bundle(arguments.bundle)
    subject = Subject(bundle, setting_for(bundle.manifest, threads=1))
    before = interference.look()
    same = [_compared(subject, None) for _ in range(arguments.pairs)]
    usual_ms = _usual_ms(subject)
    slowed = [_compared(subject, usual_ms * SLOWER) for _ in range(arguments.slowed)]
    apart = [_apart(subject) for _ in range(10)]
    reasons = interference.judge(before, interference.look())
    calls = sum(found.verdict != "cannot tell" for found in same)
    caught = sum(found.verdict == "slower" for found in slowed)
    ratios = [found.ratio for found in slowed]
    widths = sorted((found.upper - found.lower) / 2 for found in same)
    text = "\n".join(
        [
            "# Does compare repeat itself?",
            "",
            f"`python benchmarks/repeat.py {arguments.bundle}`, {machine()}, {subject.setting.variant}, "
            f"{N} repetitions a side, 99% intervals.",
            "",
            "| comparison | n | called a difference |",
            "|---|---|---|",
            f"| a network with itself, interleaved | {len(same)} | {calls} (bar: 3 of 50) |",
            f"| with itself slowed by {SLOWER:.0%}, interleaved | {len(slowed)} | {caught} slower (bar: all) |",
            f"| with itself, one run after the other (differences below 5% are not called) | {len(apart)} | "
            f"{sum(found.verdict != 'cannot tell' for found in apart)} |",
            "",
            f"Half the interval: {widths[len(widths) // 2]:.2%} (median), {widths[-1]:.2%} (widest).",
            f"Measured ratios with the slow-down: {min(ratios):.3f} to {max(ratios):.3f}.",
            *(f"Tainted: {reason}." for reason in reasons),
        ]
    )
    write(Path(__file__).parent / "results" / "repeat.md", text + "\n")
    print(text)
    return int(calls > 3 * max(1, arguments.pairs // 50) or caught < len(slowed))


def _compared(subject: Subject, extra_ms: float | None) -> Comparison:
    """Two interleaved runs in one process, as ``bench --against`` makes them."""
    a, b = _documents([subject, subject], extra_ms)
    return compare(a, b)


def _apart(subject: Subject) -> Comparison:
    (a,), (b,) = _documents([subject], None), _documents([subject], None)
    return compare(a, b)


def _documents(subjects: list[Subject], extra_ms: float | None) -> list[BenchDoc]:
    request = session.Request(subjects, "model", Plan(n=N), use_power=False)
    if extra_ms is None:
        return session.bench(request)
    return _with_slowed(request, extra_ms)


def _with_slowed(request: session.Request, extra_ms: float) -> list[BenchDoc]:
    """The same session, its second workload slowed."""
    made: list[object] = []
    original: Callable[..., object] = session._open

    def opened(*arguments: object) -> object:
        work = original(*arguments) if not made else Slowed(request.subjects[1], extra_ms)
        made.append(work)
        return work

    session._open = opened  # type: ignore[assignment]
    try:
        return session.bench(dataclasses.replace(request))
    finally:
        session._open = original  # type: ignore[assignment]


def _usual_ms(subject: Subject) -> float:
    (recording,) = measure([ModelWork(subject)], Plan(n=300, warmup=50))
    times = sorted(recording.times("infer"))
    return float(times[len(times) // 2])


if __name__ == "__main__":
    sys.exit(main())
