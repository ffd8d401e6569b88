"""From one face's probabilities in frame after frame to a label that people can read: smoothed, and slow to change.

Pure functions; time is an argument.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Expression:
    """What a face shows, over time.

    Attributes:
        probabilities: smoothed; they sum to 1.
        label: index of the label that is shown.
        t_s: when the newest probabilities came.
    """

    probabilities: tuple[float, ...]
    label: int
    t_s: float


def smoothed(
    before: Expression | None, probabilities: Sequence[float], t_s: float, time_constant_s: float, lead: float
) -> Expression:
    """The expression after new probabilities.

    An exponential mean by elapsed time, so that the result does not depend on the frame rate: after one time constant
    63% of what is shown is new. The label changes when another one leads the shown one by ``lead``.

    Args:
        before: None for a new face, whose first probabilities count fully.
        probabilities: the classifier's, at ``t_s``.
        t_s: in s, of the same clock as ``before``; a clock that jumped back counts as no time passed.
        time_constant_s: 0 smooths nothing.
        lead: least difference of probabilities for another label; 0 always shows the largest.
    """
    if before is None or len(before.probabilities) != len(probabilities):
        values = tuple(probabilities)
        return Expression(values, _largest(values), t_s)
    elapsed_s = max(0.0, t_s - before.t_s)
    share = 1.0 if time_constant_s <= 0 else -math.expm1(-elapsed_s / time_constant_s)
    values = tuple([old + share * (new - old) for old, new in zip(before.probabilities, probabilities, strict=True)])
    best = _largest(values)
    label = best if values[best] - values[before.label] >= lead else before.label
    return Expression(values, label, t_s)


def is_uncertain(probabilities: Sequence[float], least: float) -> bool:
    """True where the distribution is flat: no label has at least this probability."""
    return max(probabilities) < least


def _largest(values: Sequence[float]) -> int:
    return values.index(max(values))
