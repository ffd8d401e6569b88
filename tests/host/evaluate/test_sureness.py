"""What a probability is worth: accuracy of the surest, and of what is not marked uncertain."""

from __future__ import annotations

import numpy as np
import pytest

from fer_host.evaluate.metrics import how_sure, risk_coverage, surest


def test_the_surest_come_first() -> None:
    confidence = np.array([0.5, 0.9, 0.7, 0.4, 0.6], dtype=np.float32)
    correct = np.array([False, True, True, False, True])
    np.testing.assert_allclose(risk_coverage(confidence, correct), [1, 1, 1, 0.75, 0.6])
    assert surest(confidence, correct, 0.8) == pytest.approx(0.75)
    assert surest(confidence, correct, 0.0) == 1
    assert surest(confidence, correct, 1.0) == pytest.approx(0.6)


def test_equal_ones_are_taken_as_they_come() -> None:
    correct = np.array([True, False, True, False])
    np.testing.assert_allclose(risk_coverage(np.full(4, 0.5, dtype=np.float32), correct), [1, 0.5, 2 / 3, 0.5])


def test_answers_below_the_devices_threshold_do_not_count() -> None:
    """0.35 is the default of ``[track] uncertain_below``."""
    found = how_sure(np.array([0.34, 0.36, 0.8], dtype=np.float32), np.array([False, True, False]))
    assert (found.threshold, found.share, found.accuracy) == (0.35, pytest.approx(2 / 3, abs=1e-5), 0.5)
    unsure = how_sure(np.full(2, 0.25, dtype=np.float32), np.array([True, False]))
    assert (unsure.share, unsure.accuracy) == (0, 0)
