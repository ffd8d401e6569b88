"""Temperature scaling finds the temperature that answers were spoilt by, and says honestly what it is worth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_edge.contract.preprocess import softmax
from fer_host.evaluate.temperature import calibrate, ece, fit_temperature, negative_log_likelihood


def drawn(n: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits (n, 7) and labels drawn from them, so that their probabilities are true."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (n, 7)).astype(np.float32)
    labels = np.array([random.choice(7, p=p / p.sum()) for p in softmax(logits).astype(np.float64)])
    return logits, labels


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
def test_it_finds_what_answers_were_multiplied_by(factor: float) -> None:
    logits, labels = drawn(4000)
    assert fit_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.05)


def test_it_is_the_lowest_point() -> None:
    logits, labels = drawn(500)
    best = fit_temperature(3 * logits, labels)
    at = negative_log_likelihood(3 * logits, labels, best)
    assert all(at <= negative_log_likelihood(3 * logits, labels, best * other) for other in (0.7, 0.99, 1.01, 1.4))


def test_answers_that_are_never_wrong_stay_in_range() -> None:
    logits = 5 * np.eye(7, dtype=np.float32)
    assert 0.1 <= fit_temperature(logits, np.arange(7)) < 0.2
    assert 9 < fit_temperature(logits, np.arange(1, 8) % 7) <= 10


def test_what_it_is_worth_is_measured_on_the_other_half() -> None:
    logits, labels = drawn(4000)
    groups = np.arange(4000).astype(str)
    found = calibrate(3 * logits, labels, groups, "drawn rows", seed=1)
    assert found.n == 4000
    assert found.temperature == pytest.approx(3, rel=0.05)
    assert found.ece_before == pytest.approx(ece(3 * logits, labels, 1.0), abs=1e-3)
    assert found.ece_before > 0.2
    assert found.ece_after < 0.03
    # labels that say nothing about the answers: what a half teaches must not help the other more than it can
    random = np.random.default_rng(5).integers(0, 7, 60)
    few = calibrate(3 * logits[:60], random, groups[:60], "noise", seed=1)
    in_sample = ece(3 * logits[:60], random, few.temperature)
    assert few.ece_after != pytest.approx(in_sample, abs=1e-6)


def test_identical_images_stay_in_one_half() -> None:
    logits, labels = drawn(200)
    twice, groups = np.concatenate([logits, logits]), np.tile(np.arange(200).astype(str), 2)
    found = calibrate(3 * twice, np.concatenate([labels, labels]), groups, "twins", seed=1)
    once = calibrate(3 * logits, labels, groups[:200], "rows", seed=1)
    assert found.ece_after == pytest.approx(once.ece_after, abs=1e-4)
