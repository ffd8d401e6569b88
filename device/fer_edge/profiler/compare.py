"""``fer-edge compare``: is B faster or slower than A, or can these measurements not tell?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fer_edge.contract.bench import BenchDoc
from fer_edge.errors import UsageError
from fer_edge.profiler.statistics import MIN_BLOCKS, Floats, effective_n, interval, t_quantile

LEVEL = 0.99
# Two copies of one network differ by more than either varies within itself, because their memory lies elsewhere: by up
# to 2% in one process (benchmarks/repeat.py), by more between processes, where heat and clocks differ too. Smaller
# differences are not called.
INTERLEAVED_MARGIN, SEPARATE_MARGIN = 0.02, 0.05
Verdict = Literal["faster", "slower", "cannot tell"]


@dataclass(frozen=True)
class Comparison:
    """Time of B relative to A: 1.1 is ten percent slower. ``margin`` is the difference that is still called none."""

    stage: str
    ratio: float
    lower: float
    upper: float
    level: float
    verdict: Verdict
    interleaved: bool
    margin: float
    n_blocks: int
    notes: tuple[str, ...] = ()


def compare(
    a: BenchDoc,
    b: BenchDoc,
    stage: str | None = None,
    level: float = LEVEL,
    margin: float | None = None,
    across_boards: bool = False,
) -> Comparison:
    """Compares the median time of blocks, on a logarithmic scale.

    Blocks of interleaved runs are pairs, so that what disturbed both at once cancels. Else both sides have their own
    spread (Welch's interval).

    Args:
        a: the reference.
        b: what is judged.
        stage: None takes the headline of ``a``.
        level: of the interval.
        margin: differences up to this share are "cannot tell"; None: INTERLEAVED_MARGIN or SEPARATE_MARGIN.
        across_boards: compare different boards, threads or modes all the same.

    Raises:
        UsageError: not comparable, or without blocks.
    """
    _same_conditions(a, b, across_boards)
    name = stage or (a.precision.headline if a.precision else next(reversed(a.stages)))
    values = []
    for document, which in ((a, "A"), (b, "B")):
        blocks = document.blocks.get(name)
        if blocks is None or len(blocks.p50_ms) < MIN_BLOCKS:
            has = ", ".join(n for n, found in document.blocks.items() if len(found.p50_ms) >= MIN_BLOCKS) or "none"
            raise UsageError(
                f"{which}: no {MIN_BLOCKS} blocks of the stage {name!r} in it (it has {has}); "
                "expected files of this version's fer-edge bench, with --n 8 or more"
            )
        values.append(np.log(np.asarray(blocks.p50_ms)))
    paired = (
        a.session is not None
        and b.session is not None
        and a.session.id == b.session.id
        and a.session.role != b.session.role
        and len(values[0]) == len(values[1])
    )
    if margin is None:
        margin = INTERLEAVED_MARGIN if paired else SEPARATE_MARGIN
    mean, half, n = (_paired if paired else _welch)(values[0], values[1], level)
    lower, upper = math.exp(mean - half), math.exp(mean + half)
    verdict: Verdict = "cannot tell"
    if lower > 1 + margin:
        verdict = "slower"
    elif upper < 1 / (1 + margin):
        verdict = "faster"
    notes = tuple(f"{which} is tainted: {reason}" for which, d in (("A", a), ("B", b)) for reason in d.tainted)
    return Comparison(name, math.exp(mean), lower, upper, level, verdict, paired, margin, n, notes)


def _paired(a: Floats, b: Floats, level: float) -> tuple[float, float, int]:
    found = interval(b - a, level)
    return found.mean, found.upper - found.mean, found.n_blocks


def _welch(a: Floats, b: Floats, level: float) -> tuple[float, float, int]:
    """Mean difference and half its interval: Welch 1947, each side's blocks counted as in ``interval``."""
    sides = [(float(values.var(ddof=1)), effective_n(values)) for values in (a, b)]
    mean = float(b.mean() - a.mean())
    variance = sum(spread / n for spread, n in sides)
    if variance == 0:
        return mean, 0.0, min(len(a), len(b))
    freedom = int(variance**2 / sum((spread / n) ** 2 / max(1.0, n - 1) for spread, n in sides))
    half = t_quantile((1 + level) / 2, max(1, freedom)) * math.sqrt(variance)
    return mean, half, round(min(n for _, n in sides))


def _same_conditions(a: BenchDoc, b: BenchDoc, across_boards: bool) -> None:
    if across_boards:
        return
    for what in ("board", "cpu", "emulated", "governor", "power_mode", "mode"):
        left, right = getattr(a, what), getattr(b, what)
        if left != right:
            raise UsageError(
                f"compare: {what} differs, A has {left!r}, B {right!r}; expected the same, or --across-boards"
            )


def format_comparison(found: Comparison) -> str:
    """One line, and one for each thing that spoils it."""
    percent = (found.ratio - 1) * 100
    words = {
        "faster": f"faster: B takes {-percent:.1f}% less time",
        "slower": f"slower: B takes {percent:.1f}% more time",
        "cannot tell": f"cannot tell: B takes {percent:+.1f}% time",
    }
    how = "interleaved" if found.interleaved else "separate runs"
    how += f"; differences below {found.margin:.0%} are not called"
    line = (
        f"{words[found.verdict]} than A in {found.stage} ({found.level:.0%} interval {(found.lower - 1) * 100:+.1f}% "
        f"to {(found.upper - 1) * 100:+.1f}%; {found.n_blocks} independent blocks, {how})"
    )
    return "\n".join([line, *found.notes])
