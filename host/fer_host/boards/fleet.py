"""Boards that should be the same, by percentile, and the one that is not: from benches and tables of operators.

Deciding only: what is read and written is in report.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_edge.contract.bench import BenchDoc
from fer_edge.contract.latency import LatencyDoc, Row

CUTOFF = 3.5  # of the modified z-score: B. Iglewicz, D. Hoaglin, How to Detect and Handle Outliers, ASQC 1993, 3.5
SHARE = 0.10  # of the median: less is no finding, however close the others lie together
LEAST = 5  # boards; of fewer nobody can say which is the odd one
PERCENTILES = (5, 25, 50, 75, 95)
RULE = (
    "*Odd* is a board whose value x lies far from the median m of its like: z = 0.6745 (x - m) / MAD is beyond "
    f"{CUTOFF} on either side, where MAD is the median of all |x - m|, and x is more than {SHARE:.0%} away from m; "
    f"asked of {LEAST} boards and more. Like are boards of the same name and processor with the same network, variant, "
    "threads and mode."
)


@dataclass(frozen=True)
class Named:
    """A document and the board that it is of: its file's name, as ``collect`` gives it."""

    board: str
    document: BenchDoc | LatencyDoc


@dataclass(frozen=True)
class Odd:
    """A board far from its like: its value, how far in modified z-scores (above 0: more), and what else differs."""

    board: str
    value: float
    score: float
    differs: tuple[str, ...] = ()

    def __str__(self) -> str:
        why = f"; {', '.join(self.differs)}" if self.differs else ""
        return f"{self.board} ({self.value:.4g}, z {self.score:+.1f}{why})"


@dataclass(frozen=True)
class Spread:
    """One quantity over boards that should be the same.

    Args:
        group: what they have in common, in words.
        quantity: with its unit.
        n: boards that tell it.
        percentiles: at ``PERCENTILES``, by linear interpolation.
        odd: the furthest first; None where there are too few boards to say.
    """

    group: str
    quantity: str
    n: int
    percentiles: tuple[float, ...]
    odd: tuple[Odd, ...] | None


def scores(values: Sequence[float]) -> list[float]:
    """Modified z-scores, 0.6745 (x - median) / MAD; infinite where MAD is 0 and x is not the median."""
    x = np.asarray(values, dtype=float)
    far = x - np.median(x)
    mad = float(np.median(np.abs(far)))
    if mad:
        return [float(score) for score in 0.6745 * far / mad]
    return [0.0 if each == 0 else float(np.copysign(np.inf, each)) for each in far]


def odd_ones(values: Mapping[str, float]) -> tuple[Odd, ...] | None:
    """Boards whose value is odd by ``RULE``, the furthest first; None where there are fewer than ``LEAST``."""
    if len(values) < LEAST:
        return None
    middle = float(np.median(list(values.values())))
    found = [
        Odd(board, value, score)
        for (board, value), score in zip(values.items(), scores(list(values.values())), strict=True)
        if abs(score) > CUTOFF and abs(value - middle) > SHARE * abs(middle)
    ]
    return tuple(sorted(found, key=lambda odd: -abs(odd.value - middle)))


def spreads(documents: Sequence[Named]) -> list[Spread]:
    """Every quantity of every group of two boards and more."""
    groups: dict[str, list[Named]] = {}
    for named in documents:
        groups.setdefault(_group(named.document), []).append(named)
    return [
        spread for name, members in sorted(groups.items()) if len(members) > 1 for spread in _spreads(name, members)
    ]


def as_markdown(found: Sequence[Spread]) -> str:
    """A table for each group, and the rule."""
    lines = ["## Boards by percentile", "", RULE]
    head = ("boards", *(f"p{p}" for p in PERCENTILES), "odd")
    for group in dict.fromkeys(spread.group for spread in found):
        lines += ["", f"### {group}", "", f"| | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
        for spread in found:
            if spread.group == group:
                numbers = " | ".join(f"{value:.4g}" for value in spread.percentiles)
                lines.append(f"| {spread.quantity} | {spread.n} | {numbers} | {_odd_cell(spread)} |")
    return "\n".join(lines) + "\n"


def _odd_cell(spread: Spread) -> str:
    if spread.odd is None:
        return f"not asked of fewer than {LEAST}"
    return "; ".join(str(odd) for odd in spread.odd).replace("|", "\\|") or "none"


def _spreads(group: str, members: Sequence[Named]) -> list[Spread]:
    found = []
    for quantity, values in _quantities(members).items():
        if len(values) < 2:
            continue
        odd = odd_ones(values)
        if odd is not None:
            odd = tuple(Odd(each.board, each.value, each.score, _differs(each.board, members)) for each in odd)
        at = tuple(float(p) for p in np.percentile(list(values.values()), PERCENTILES))
        found.append(Spread(group, quantity, len(values), at, odd))
    return found


def _group(document: BenchDoc | LatencyDoc) -> str:
    machine = f"{document.board} ({document.cpu or '-'})"
    if isinstance(document, LatencyDoc):
        return f"{machine}: operators, {document.threads} threads"
    what = f"{document.model_id or '-'} {document.variant}, {document.threads} threads, {document.mode or '-'}"
    return f"{machine}: {what}"


def headline(document: BenchDoc) -> tuple[str, float]:
    """The stage that stands for the whole, and its median in ms."""
    name = document.precision.headline if document.precision else list(document.stages)[-1]
    return name, document.stages[name].p50_ms


BENCH: dict[str, Callable[[BenchDoc], float | None]] = {
    "median, ms": lambda d: headline(d)[1],
    "p95, ms": lambda d: d.stages[headline(d)[0]].p95_ms,
    "frames per second": lambda d: d.fps,
    "PSS, MiB": lambda d: None if d.memory.pss_bytes is None else d.memory.pss_bytes / 2**20,
    "power, W": lambda d: None if d.power is None else d.power.mean_w,
}


def _quantities(members: Sequence[Named]) -> dict[str, dict[str, float]]:
    """Quantity -> board -> value."""
    benches = {named.board: named.document for named in members if isinstance(named.document, BenchDoc)}
    tables = {named.board: named.document for named in members if isinstance(named.document, LatencyDoc)}
    found = {
        quantity: {board: value for board, d in benches.items() if (value := of(d)) is not None}
        for quantity, of in BENCH.items()
    }
    if tables:
        found["operators, times as slow as the middle board"] = slowness(tables)
        found["overhead of a call, ms"] = {board: table.overhead_ms for board, table in tables.items()}
    return found


def slowness(tables: Mapping[str, LatencyDoc]) -> dict[str, float]:
    """How many times as slow as the middle board each is: the median over the operators of all, without overhead.

    Of each operator the boards' own median is the middle; 1 is as fast.
    """
    times = {board: {_operator(row): row.ms_p50 for row in table.rows} for board, table in tables.items()}
    common = set.intersection(*(set(of) for of in times.values()))
    if not common:
        return {}
    net = {
        board: np.array([max(of[op] - tables[board].overhead_ms, 1e-6) for op in sorted(common)])
        for board, of in times.items()
    }
    middle = np.median(np.stack(list(net.values())), axis=0)
    return {board: float(np.median(of / middle)) for board, of in net.items()}


def _operator(row: Row) -> str:
    return repr((row.op, sorted(row.attrs.items()), row.in_shape, row.out_shape, row.dtype))


FACTS: dict[str, Callable[[BenchDoc | LatencyDoc], str | None]] = {
    "governor": lambda d: d.governor,
    "runtime": lambda d: f"{d.runtime.name} {d.runtime.version}",
    "fer-edge": lambda d: getattr(d, "fer_edge", None),
    "kernel": lambda d: getattr(d, "kernel", None),
    "power mode": lambda d: getattr(d, "power_mode", None),
    "throttled": lambda d: d.throttled.after if isinstance(d, BenchDoc) else None,
    "disturbed": lambda d: "; ".join(d.tainted) or "no",
}


def _differs(board: str, members: Sequence[Named]) -> tuple[str, ...]:
    """What a board has that more than half of its like have not: the first place to look."""
    own = next(named.document for named in members if named.board == board)
    found = []
    for name, of in FACTS.items():
        usual, n = Counter(of(named.document) for named in members).most_common(1)[0]
        if of(own) != usual and n > len(members) / 2:
            found.append(f"{name} {of(own) or 'unknown'}, most {usual or 'unknown'}")
    return tuple(found)


def names_of(files: Sequence[Path]) -> list[str]:
    """A board's name for each file: its own without the end, with folders before it where two would be the same."""
    depth, names = 1, [path.stem for path in files]
    while len(set(names)) < len(names) and depth < 20:
        depth += 1
        names = ["/".join(path.with_suffix("").parts[-depth:]) for path in files]
    return names
