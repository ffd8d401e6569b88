"""Classification metrics from probabilities: pure functions of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.evaluate import Sure
from fer_host.device_pipeline import TrackSettings


@dataclass(frozen=True)
class Scores:
    """Accuracy figures over n rows; recall and confusion are in label order, rows of the confusion matrix are true."""

    n: int
    accuracy: float
    macro_f1: float
    recall: tuple[float, ...]
    confusion: NDArray[np.int64]
    ece: float


def score(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Scores:
    """Scores predictions.

    Args:
        probabilities: (n, classes).
        labels: (n,) true class of each row.
    """
    n_classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    confusion = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    hits = np.diag(confusion).astype(np.float64)
    true, guessed = confusion.sum(axis=1), confusion.sum(axis=0)
    f1 = 2 * hits / np.maximum(true + guessed, 1)
    return Scores(
        n=len(labels),
        accuracy=float(hits.sum() / max(1, len(labels))),
        macro_f1=float(f1[true > 0].mean()) if len(labels) else 0.0,
        recall=tuple((hits / np.maximum(true, 1)).tolist()),
        confusion=confusion,
        ece=expected_calibration_error(probabilities.max(axis=1), predicted == labels),
    )


def expected_calibration_error(confidence: NDArray[np.float32], correct: NDArray[np.bool_], n_bins: int = 15) -> float:
    """Guo et al. 2017, eq. 5: mean |accuracy - confidence| over equal-width bins, weighted by their share."""
    bins = np.minimum((confidence * n_bins).astype(np.int64), n_bins - 1)
    total = 0.0
    for i in range(n_bins):
        inside = bins == i
        if inside.any():
            total += float(inside.mean()) * abs(float(correct[inside].mean()) - float(confidence[inside].mean()))
    return total


def risk_coverage(confidence: NDArray[np.float32], correct: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n,) accuracy of the 1, 2, ... n surest answers, the surest first; equal ones in the order that they come."""
    order = np.argsort(-confidence, kind="stable")
    return np.asarray(np.cumsum(correct[order]) / np.arange(1, len(correct) + 1), dtype=np.float64)


def surest(confidence: NDArray[np.float32], correct: NDArray[np.bool_], share: float) -> float:
    """Accuracy of this share of the answers, the surest; at least one."""
    return float(risk_coverage(confidence, correct)[max(1, round(share * len(correct))) - 1])


def how_sure(confidence: NDArray[np.float32], correct: NDArray[np.bool_]) -> Sure:
    """What probabilities of the answers are worth at the device's own threshold; at least one answer."""
    threshold = TrackSettings().uncertain_below
    reached = confidence >= threshold
    accuracy = float(correct[reached].mean()) if reached.any() else 0.0
    best = surest(confidence, correct, 0.8)
    return Sure(threshold, round(float(reached.mean()), 6), round(accuracy, 6), round(best, 6))


def drop_label(probabilities: NDArray[np.float32], index: int) -> NDArray[np.float32]:
    """Probabilities (n, c) without one class, renormalized (the thesis' seven-class score of eight classes)."""
    kept = np.delete(probabilities, index, axis=1)
    return np.asarray(kept / np.maximum(kept.sum(axis=1, keepdims=True), 1e-12), dtype=np.float32)
