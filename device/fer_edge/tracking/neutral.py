"""How far a face is from its own neutral: per label, in log-odds, against a baseline. Pure functions.

A still face is no neutral face to a network: some look a little sad or angry to it all day. The label says what the
network sees; the shift says what changed. It tells two looks of one face apart, never one face from another: eight
averaged numbers hold no identity, and they are forgotten with the track.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

NEUTRAL = "neutral"
LEAST_P = 1e-3  # smaller probabilities are the network's noise
MARGIN = 1.25  # benchmarks/shift.py: above it a smile, below it the same face in other light or another crop
LEAST_S = 1.0  # of neutral to be seen before anything is said
TIME_CONSTANT_S = 60.0
LONGEST_GAP_S = 0.5  # what was not seen for longer counts as this long


@dataclass(frozen=True)
class Neutral:
    """A face's own neutral, as far as it was seen.

    Attributes:
        log_odds: by label, the mean over the time seen, where neutral moments count by how neutral they look.
        seen_s: how much of neutral that is, s.
        t_s: when the newest was seen.
    """

    log_odds: tuple[float, ...]
    seen_s: float
    t_s: float

    @property
    def is_known(self) -> bool:
        """Whether enough was seen for a shift."""
        return self.seen_s >= LEAST_S


def log_odds(probabilities: Sequence[float]) -> tuple[float, ...]:
    """log(p / (1 - p)) of each, p within 0.001 and 0.999."""
    kept = (min(max(p, LEAST_P), 1 - LEAST_P) for p in probabilities)
    return tuple(math.log(p / (1 - p)) for p in kept)


def shift(probabilities: Sequence[float], neutral: Sequence[float]) -> tuple[float, ...]:
    """How far each label's log-odds are above (or below) those of the face's own neutral.

    Args:
        probabilities: of the face now, by label.
        neutral: its baseline's log-odds, by label.
    """
    return tuple(now - own for now, own in zip(log_odds(probabilities), neutral, strict=True))


def learned(before: Neutral | None, probabilities: Sequence[float], labels: Sequence[str], t_s: float) -> Neutral:
    """The baseline after new probabilities.

    An exponential mean over a minute of what looks neutral: a moment counts by its time and its p(neutral), so that
    a smile moves it little. Without a label of that name every moment counts.

    Args:
        before: None for a new face.
        probabilities: at ``t_s``.
        labels: their names.
        t_s: in s, of the same clock as ``before``; a clock that jumped back counts as no time passed.
    """
    now = log_odds(probabilities)
    if before is None or len(before.log_odds) != len(now):
        return Neutral(now, 0.0, t_s)
    elapsed_s = min(max(0.0, t_s - before.t_s), LONGEST_GAP_S)
    weight = probabilities[labels.index(NEUTRAL)] if NEUTRAL in labels else 1.0
    new_s = elapsed_s * weight
    kept_s = before.seen_s * math.exp(-elapsed_s / TIME_CONSTANT_S)
    if not kept_s + new_s:
        return Neutral(now, 0.0, t_s)
    share = new_s / (kept_s + new_s)
    mean = tuple(old + share * (new - old) for old, new in zip(before.log_odds, now, strict=True))
    return Neutral(mean, kept_s + new_s, t_s)
