"""Statistics of timings that follow one another: warm-up, blocks, intervals. Pure functions.

Timings are autocorrelated (clocks, caches, other processes), so that n of them tell less than n independent ones.
Intervals are therefore of means over blocks, and count fewer blocks where those still depend on each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.bench import StageTiming

Floats = NDArray[np.float64]
N_BLOCKS = 64  # at most; enough to see drift, few enough to keep
MIN_BLOCKS = 8  # fewer give no usable interval
WARMUP_SHARE = 0.02  # slower (or faster) than the rest by this much
OUTLIER_IQR = 3.0  # Tukey's "far out": kept in every figure, and counted
_MSER_BATCH = 5


class Interval(NamedTuple):
    """A mean with its interval; ``n_blocks`` is as how many independent ones the blocks count."""

    mean: float
    lower: float
    upper: float
    n_blocks: int

    @property
    def precision(self) -> float:
        """Half the interval as a share of the mean."""
        return (self.upper - self.lower) / 2 / self.mean if self.mean else math.inf


def warmup_end(times: Sequence[float]) -> tuple[int, bool]:
    """How many timings at the start are warm-up, and whether the rest has settled.

    MSER-5 (K. P. White 1997, "An effective truncation heuristic for bias reduction in simulation output"): of all cuts
    in the first half, the one with the smallest standard error of what is left, over means of five. A cut at the end
    of that half says that the timings were still changing.
    """
    batches = _batches(np.asarray(times, dtype=np.float64), _MSER_BATCH)
    n = len(batches)
    if n < 2 * MIN_BLOCKS:
        return 0, n > 0
    # A cluster of slow ones in the first half would drag the cut up to itself: each is what its neighbors say.
    padded = np.pad(batches, 2, mode="edge")
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)
    smooth[:2] = batches[:2]  # the slow start itself must stay
    last = n // 2
    errors = [float(smooth[cut:].var()) / (n - cut) for cut in range(last + 1)]
    cut = int(np.argmin(errors))
    if cut and abs(np.median(batches[:cut]) / np.median(batches[cut:]) - 1) < WARMUP_SHARE:
        return 0, True  # what differs so little costs more repetitions than it spoils
    return cut * _MSER_BATCH, cut < last


def block_edges(n: int, n_blocks: int = N_BLOCKS) -> tuple[int, int]:
    """(size, count) of equal blocks of n repetitions; the first n - size * count repetitions are in none."""
    size = max(1, n // n_blocks)
    return size, n // size if size == 1 else min(n_blocks, n // size)


def in_blocks(times: Sequence[float] | Floats, size: int, count: int) -> Floats:
    """(count, size): the last size * count timings."""
    return np.asarray(times, dtype=np.float64)[len(times) - size * count :].reshape(count, size)


def autocorrelation(values: Floats) -> float:
    """At lag 1; 0 where nothing varies."""
    centered = values - values.mean()
    power = float((centered**2).sum())
    return float((centered[1:] * centered[:-1]).sum()) / power if power else 0.0


def effective_n(values: Floats) -> float:
    """As how many independent values n values in time order count: n (1 - r) / (1 + r), as for an AR(1) series.

    r is the lag-1 autocorrelation, its small-sample bias added back (Kendall 1954), at least 0 and at most 0.9.
    """
    n = len(values)
    r = autocorrelation(values)
    r = min(0.9, max(0.0, r + (1 + 3 * r) / n))
    return n * (1 - r) / (1 + r)


def interval(blocks: Sequence[float] | Floats, level: float = 0.95) -> Interval:
    """Student's interval of the mean over blocks in time order, which may depend on each other: ``effective_n``."""
    values = np.asarray(blocks, dtype=np.float64)
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, -math.inf, math.inf, len(values))
    n = effective_n(values)
    error = float(values.std(ddof=1)) / math.sqrt(n)
    half = t_quantile((1 + level) / 2, max(1, round(n) - 1)) * error
    return Interval(mean, mean - half, mean + half, round(n))


def t_quantile(p: float, freedom: int) -> float:
    """Quantile of Student's t, p > 0.5: Cornish and Fisher's expansion (Abramowitz and Stegun 26.7.5).

    Within 0.1% for 7 degrees of freedom and more; below, where it would be too small, t's own tables are steeper and
    the few values that a command can ask for are exact.
    """
    if freedom in _SMALL_T and p in _SMALL_T[freedom]:
        return _SMALL_T[freedom][p]
    z, v = NormalDist().inv_cdf(p), float(freedom)
    z3, z5, z7, z9 = z**3, z**5, z**7, z**9
    return (
        z
        + (z3 + z) / (4 * v)
        + (5 * z5 + 16 * z3 + 3 * z) / (96 * v**2)
        + (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * v**3)
        + (79 * z9 + 776 * z7 + 1482 * z5 - 1920 * z3 - 945 * z) / (92160 * v**4)
    )


_SMALL_T = {  # Abramowitz and Stegun, table 26.10
    1: {0.975: 12.706, 0.995: 63.657},
    2: {0.975: 4.303, 0.995: 9.925},
    3: {0.975: 3.182, 0.995: 5.841},
    4: {0.975: 2.776, 0.995: 4.604},
    5: {0.975: 2.571, 0.995: 4.032},
    6: {0.975: 2.447, 0.995: 3.707},
}


def summarize(times_ms: Sequence[float]) -> StageTiming:
    """Mean, percentiles and the 95% interval of the mean of n >= 2 timings in ms, outliers included.

    No time is below 0: where Student's interval would begin there, it begins at 0.
    """
    values = np.asarray(times_ms, dtype=np.float64)
    size, count = block_edges(len(values))
    found = interval(in_blocks(values, size, count).mean(axis=1))
    mean, half = float(values.mean()), (found.upper - found.lower) / 2
    p50, p90, p95, p99 = (round(float(value), 4) for value in np.percentile(values, [50, 90, 95, 99]))
    lower, upper = round(max(0.0, mean - half), 4), round(mean + half, 4)
    return StageTiming(round(mean, 4), p50, p90, p95, p99, (lower, upper))


def n_outliers(times: Sequence[float]) -> int:
    """How many lie more than OUTLIER_IQR interquartile ranges beyond the quartiles; they stay in every figure."""
    values = np.asarray(times, dtype=np.float64)
    q1, q3 = np.percentile(values, [25, 75])
    far = OUTLIER_IQR * (q3 - q1)
    return int(((values > q3 + far) | (values < q1 - far)).sum())


def _batches(values: Floats, size: int) -> Floats:
    count = len(values) // size
    return values[: count * size].reshape(count, size).mean(axis=1) if count else values[:0]
