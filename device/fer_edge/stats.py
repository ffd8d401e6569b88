"""Statistics of timings: pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fer_edge.contract.bench import StageTiming

Z95 = 1.96


def summarize(times_ms: Sequence[float]) -> StageTiming:
    """Mean, percentiles and the 95% interval of the mean (normal approximation) of n >= 2 timings in ms."""
    values = np.asarray(times_ms, dtype=np.float64)
    mean, half = float(values.mean()), float(Z95 * values.std(ddof=1) / np.sqrt(len(values)))
    p50, p90, p95, p99 = (round(float(value), 4) for value in np.percentile(values, [50, 90, 95, 99]))
    return StageTiming(round(mean, 4), p50, p90, p95, p99, (round(mean - half, 4), round(mean + half, 4)))
