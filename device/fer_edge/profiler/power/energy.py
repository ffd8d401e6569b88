"""Energy out of power samples: trapezoids on a monotonic clock, gross and with the idle machine's share subtracted."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

GAP_FACTOR = 3.0  # samples further apart than this many usual distances have a gap between them
MIN_COVERED = 0.5  # of the time: below it there is no figure


class Sample(NamedTuple):
    """Power at a moment; ``w`` is None where the probe gave nothing."""

    t_s: float
    w: float | None


class Energy(NamedTuple):
    """Over the part of a window that samples cover."""

    joule: float
    covered_s: float
    gaps: tuple[tuple[float, float], ...]

    @property
    def mean_w(self) -> float:
        """Over the covered time."""
        return self.joule / self.covered_s


def integrate(samples: Sequence[Sample], start_s: float, end_s: float) -> Energy | None:
    """Energy between two moments; None where samples cover less than MIN_COVERED of it.

    Between two samples power is taken as a straight line. Where a sample is missing (None, or none came for
    GAP_FACTOR usual distances) there is a gap: no energy, and no time, is counted for it.
    """
    usual = _usual_distance(samples)
    joule = covered = 0.0
    gaps: list[tuple[float, float]] = []
    reached = start_s
    for a, b in itertools.pairwise(samples):
        left, right = max(a.t_s, start_s), min(b.t_s, end_s)
        if right <= left:
            continue
        if a.w is None or b.w is None or b.t_s - a.t_s > GAP_FACTOR * usual:
            continue
        if left > reached:
            gaps.append((reached, left))
        slope = (b.w - a.w) / (b.t_s - a.t_s)
        mean = a.w + slope * ((left + right) / 2 - a.t_s)
        joule, covered, reached = joule + mean * (right - left), covered + right - left, right
    if end_s > reached:
        gaps.append((reached, end_s))
    if covered < MIN_COVERED * (end_s - start_s) or covered <= 0:
        return None
    slack = GAP_FACTOR * usual
    return Energy(joule, covered, tuple(gap for gap in gaps if gap[1] - gap[0] > slack or _has_none(samples, gap)))


def _usual_distance(samples: Sequence[Sample]) -> float:
    distances = sorted(b.t_s - a.t_s for a, b in itertools.pairwise(samples))
    return distances[len(distances) // 2] if distances else 0.0


def _has_none(samples: Sequence[Sample], gap: tuple[float, float]) -> bool:
    return any(sample.w is None and gap[0] <= sample.t_s <= gap[1] for sample in samples)
