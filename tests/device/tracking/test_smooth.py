"""Smoothing by elapsed time and labels that change slowly: tables and properties."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.tracking.smooth import Expression, is_uncertain, smoothed

HAPPY, SAD = (0.9, 0.1), (0.1, 0.9)


def run(rows: list[tuple[float, tuple[float, ...]]], tau_s: float = 0.3, lead: float = 0.1) -> list[Expression]:
    state, states = None, []
    for t_s, probabilities in rows:
        state = smoothed(state, probabilities, t_s, tau_s, lead)
        states.append(state)
    return states


def test_the_first_probabilities_count_fully() -> None:
    assert run([(5.0, HAPPY)])[0] == Expression(HAPPY, 0, 5.0)


@pytest.mark.parametrize("elapsed_s", [0.05, 0.3, 1.0])
def test_one_time_constant_takes_over_63_percent(elapsed_s: float) -> None:
    after = run([(0.0, HAPPY), (elapsed_s, SAD)])[1].probabilities
    share = 1 - math.exp(-elapsed_s / 0.3)
    assert after == pytest.approx((0.9 - 0.8 * share, 0.1 + 0.8 * share))


@given(st.integers(1, 40), st.floats(0.05, 2.0))
def test_the_frame_rate_does_not_matter(n: int, elapsed_s: float) -> None:
    """A step seen in one frame or in n frames over the same time ends at the same place."""
    rows = [(0.0, HAPPY)] + [(elapsed_s * (i + 1) / n, SAD) for i in range(n)]
    assert run(rows)[-1].probabilities == pytest.approx(run([(0.0, HAPPY), (elapsed_s, SAD)])[-1].probabilities)


def test_one_odd_frame_changes_no_label() -> None:
    rows = [(i / 25, SAD if i == 10 else HAPPY) for i in range(20)]
    assert {state.label for state in run(rows)} == {0}
    assert {state.label for state in run(rows, tau_s=0.0, lead=0.0)} == {0, 1}  # it would without smoothing


def test_a_label_needs_a_lead_to_change() -> None:
    close = [(float(i), (0.48, 0.52) if i % 2 else (0.52, 0.48)) for i in range(20)]
    assert {state.label for state in run(close, tau_s=0.0, lead=0.1)} == {0}
    assert {state.label for state in run(close, tau_s=0.0, lead=0.0)} == {0, 1}
    assert run([(0.0, HAPPY), (9.0, (0.45, 0.55))], tau_s=0.0)[-1].label == 1  # the lead itself suffices


def test_a_lasting_change_gets_through_within_two_time_constants() -> None:
    states = run([(0.0, HAPPY)] + [(i / 25, SAD) for i in range(1, 26)])
    first = next(state.t_s for state in states if state.label == 1)
    assert 0.15 < first < 0.6


def test_a_clock_that_jumps() -> None:
    back = run([(100.0, HAPPY), (2.0, SAD)])[-1]
    assert back.probabilities == HAPPY  # no time passed
    assert smoothed(back, SAD, 2.3, 0.3, 0.1).probabilities[1] > 0.5  # and it goes on from there
    assert run([(0.0, HAPPY), (1e9, SAD)])[-1].probabilities == pytest.approx(SAD)


@given(
    st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4)), min_size=1, max_size=30
    ),
    st.floats(0, 5),
    st.floats(0, 0.5),
)
def test_probabilities_stay_probabilities(rows: list[tuple[float, list[float]]], tau_s: float, lead: float) -> None:
    scaled = [(t_s, tuple(v / sum(values) for v in values)) for t_s, values in rows]
    for state in run(scaled, tau_s, lead):
        assert sum(state.probabilities) == pytest.approx(1)
        assert min(state.probabilities) >= 0
        best = max(state.probabilities)
        assert best - state.probabilities[state.label] <= lead + 1e-12  # never further behind than the lead


def test_flat_distributions_are_uncertain() -> None:
    assert is_uncertain([0.2] * 5, 0.35)
    assert is_uncertain([0.34, 0.33, 0.33], 0.35)
    assert not is_uncertain([0.35, 0.33, 0.32], 0.35)
