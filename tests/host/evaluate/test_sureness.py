"""What a probability is worth: accuracy of the surest, and of what is not marked uncertain."""

from __future__ import annotations

import numpy as np
import pytest

from fer_host.evaluate.evaluate import _sureness
from fer_host.evaluate.metrics import risk_coverage, surest


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
    rows = np.array([[0.34, 0.33, 0.33], [0.36, 0.32, 0.32], [0.1, 0.8, 0.1]], dtype=np.float32)
    found = _sureness(rows, np.array([1, 0, 0]))
    assert (found.threshold, found.share, found.accuracy) == (0.35, pytest.approx(2 / 3, abs=1e-5), 0.5)
    unsure = _sureness(np.full((2, 4), 0.25, dtype=np.float32), np.array([0, 1]))
    assert (unsure.share, unsure.accuracy) == (0, 0)
