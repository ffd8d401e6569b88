"""Temperature scaling (Guo et al. 2017, arXiv 1706.04599, section 4.2): one number that makes probabilities honest."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.labels import Calibration
from fer_edge.contract.preprocess import softmax
from fer_host.evaluate.metrics import expected_calibration_error

_RANGE = (0.1, 10.0)
_GOLDEN = (math.sqrt(5) - 1) / 2


def negative_log_likelihood(logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float) -> float:
    """Mean over (n, classes) logits and (n,) labels of -log p(label) at this temperature."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    log_p = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
    return float(-log_p[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64], steps: int = 40) -> float:
    """The temperature of the largest likelihood, 0.1 to 10: a golden-section search on its logarithm.

    The mean of -log p(label) is convex in 1 / temperature, so that there is one lowest point.

    Args:
        logits: (n, classes), n at least 1.
        labels: (n,) true classes.
        steps: of the search; 40 settle the eighth digit.
    """
    low, high = (math.log(value) for value in _RANGE)
    for _ in range(steps):
        a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if negative_log_likelihood(logits, labels, math.exp(a)) < negative_log_likelihood(logits, labels, math.exp(b)):
            high = b
        else:
            low = a
    return math.exp((low + high) / 2)


def ece(logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: NDArray[np.float64] | float) -> float:
    """Expected calibration error of (n, classes) logits; ``temperature`` is one number, or one for each row."""
    probabilities = softmax((logits / np.reshape(temperature, (-1, 1))).astype(np.float32))
    return expected_calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)


def calibrate(
    logits: NDArray[np.float32], labels: NDArray[np.int64], groups: NDArray[np.str_], rows: str, seed: int
) -> Calibration:
    """A temperature from all rows, and what it is worth on rows that it was not fitted on.

    For ``ece_after`` the rows are halved (identical images stay together), and each half is judged at the temperature
    of the other.

    Args:
        logits: (n, classes) of images that training has not seen.
        labels: (n,) true classes.
        groups: (n,) rows of a group stay in one half.
        rows: what they are, in words.
        seed: of the halves.
    """
    names, members = np.unique(groups, return_inverse=True)
    first = np.random.default_rng(seed).permutation(len(names))[members] % 2 == 0
    crossed = np.empty(len(labels))
    for half in (first, ~first):
        crossed[half] = fit_temperature(logits[~half], labels[~half])
    return Calibration(
        method="temperature",
        temperature=round(fit_temperature(logits, labels), 4),
        fitted_on=f"{rows}; the error after it is of each half at the other half's temperature",
        n=len(labels),
        ece_before=round(ece(logits, labels, 1.0), 4),
        ece_after=round(ece(logits, labels, crossed), 4),
    )
