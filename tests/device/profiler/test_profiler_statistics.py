"""Warm-up, blocks and intervals: by hand, against published tables, and by how often they are wrong on noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fer_edge.profiler import statistics


def ar1(n: int, r: float, random: np.random.Generator) -> NDArray[np.float64]:
    """A series whose neighbors are correlated by r; standard deviation 1."""
    values = random.normal(size=n)
    for i in range(1, n):
        values[i] = r * values[i - 1] + math.sqrt(1 - r * r) * values[i]
    return values


@pytest.mark.parametrize(
    ("p", "freedom", "table"),
    [
        (0.975, 7, 2.365),
        (0.995, 7, 3.499),
        (0.975, 15, 2.131),
        (0.995, 15, 2.947),
        (0.995, 63, 2.656),
        (0.975, 3, 3.182),
    ],
)
def test_t_quantile_as_in_the_tables(p: float, freedom: int, table: float) -> None:
    assert statistics.t_quantile(p, freedom) == pytest.approx(table, abs=2e-3)


def test_summary_by_hand() -> None:
    timing = statistics.summarize([1.0, 4.0, 2.0, 3.0, 3.0, 2.0, 4.0, 1.0])  # lag-1 autocorrelation below 0
    assert timing.mean_ms == 2.5
    assert timing.p50_ms == 2.5
    assert timing.p90_ms == pytest.approx(4.0)
    half = 2.365 * np.sqrt(10 / 7) / np.sqrt(8)
    assert timing.ci95_ms == pytest.approx((2.5 - half, 2.5 + half), abs=2e-3)


@given(st.lists(st.floats(0.01, 1e4), min_size=2, max_size=300))
def test_summary_is_ordered(times: list[float]) -> None:
    t = statistics.summarize(times)
    assert min(times) - 1e-3 <= t.p50_ms <= t.p90_ms <= t.p95_ms <= t.p99_ms <= max(times) + 1e-3
    assert t.ci95_ms[0] <= t.mean_ms <= t.ci95_ms[1]


@pytest.mark.parametrize("n_slow", [10, 40, 150])
def test_warmup_is_found(n_slow: int) -> None:
    random = np.random.default_rng(n_slow)
    times = random.normal(10, 0.5, 600)
    times[:n_slow] += np.linspace(12, 3, n_slow)
    cut, settled = statistics.warmup_end(list(times))
    assert settled
    assert 0.6 * n_slow <= cut <= n_slow + 40


def test_without_warmup_little_is_cut() -> None:
    cuts = []
    for seed in range(50):
        random = np.random.default_rng(seed)
        times = random.normal(10, 0.5, 600)
        times[random.integers(0, 600, 6)] += 15  # what another process did is no warm-up
        cuts.append(statistics.warmup_end(list(times))[0])
    assert np.median(cuts) <= 60
    assert np.mean(np.array(cuts) > 200) < 0.15


def test_a_small_step_is_no_warmup() -> None:
    """Seen on a shared machine: nearly half of a run was thrown away for one percent."""
    random = np.random.default_rng(1)
    times = random.normal(10, 0.2, 4000)
    times[:1800] *= 1.01
    assert statistics.warmup_end(list(times)) == (0, True)
    times[:1800] *= 1.05
    assert statistics.warmup_end(list(times))[0] == pytest.approx(1800, abs=50)


def test_a_run_that_never_settles_says_so() -> None:
    assert not statistics.warmup_end(list(np.linspace(20, 10, 400)))[1]


@pytest.mark.parametrize("r", [0.0, 0.5, 0.9, 0.97, 0.99])
def test_interval_of_dependent_timings_holds_what_it_says(r: float) -> None:
    """A 95% interval that takes neighbors for independent holds the truth in 30% of these series, not 95%."""
    random = np.random.default_rng(7)
    hits = naive = 0
    for _ in range(300):
        times = 10 + ar1(1500, r, random)
        size, count = statistics.block_edges(len(times))
        found = statistics.interval(statistics.in_blocks(times, size, count).mean(axis=1))
        hits += found.lower <= 10 <= found.upper
        naive += abs(times.mean() - 10) <= 1.96 * times.std() / math.sqrt(len(times))
    assert hits / 300 >= 0.90
    if r > 0.8:
        assert naive / 300 < 0.6


def test_blocks_cover_the_newest() -> None:
    size, count = statistics.block_edges(130)
    assert (size, count) == (2, 64)
    assert statistics.in_blocks(list(range(130)), size, count).min() == 2  # 2 of 130 in none


def test_outliers_are_counted_and_kept() -> None:
    times = [1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.0, 50.0]
    assert statistics.n_outliers(times) == 1
    assert statistics.summarize(times).mean_ms == pytest.approx(np.mean(times), abs=1e-3)


def test_an_interval_of_times_never_begins_below_zero() -> None:
    found = statistics.summarize([0.1] * 7 + [20.0])
    assert found.ci95_ms[0] == 0
    assert found.ci95_ms[1] > found.mean_ms
