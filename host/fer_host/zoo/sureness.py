"""How sure a network is, drawn: reliability (is 80% right eight times of ten?) and accuracy against coverage."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.evaluate import Sure
from fer_edge.contract.whole import whole_file
from fer_host.evaluate.metrics import how_sure, risk_coverage

_BINS = 15


class Answers(NamedTuple):
    """One label set's answers to rows with a label: confidence and whether right, before and after calibration."""

    name: str
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    correct: NDArray[np.bool_]


def reliability(confidence: NDArray[np.float32], correct: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(bins, 2) mean confidence and accuracy of the answers in each of 15 equal bins; bins without any are left out."""
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    rows = [(confidence[bins == i].mean(), correct[bins == i].mean()) for i in range(_BINS) if (bins == i).any()]
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def sure_of(answers: list[Answers]) -> dict[str, Sure]:
    """What calibrated answers are worth at the device's own threshold, by label set."""
    return {each.name: how_sure(each.after, each.correct) for each in answers}


def plot_sureness(answers: list[Answers], path: Path, title: str) -> None:
    """Writes a PNG with a row for each label set: reliability on the left, accuracy of the surest on the right."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(len(answers), 2, figsize=(8, 3.6 * len(answers)), dpi=110, squeeze=False)
    for (left, right), each in zip(grid, answers, strict=True):
        left.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for name, confidence in (("as it comes", each.before), ("calibrated", each.after)):
            points = reliability(confidence, each.correct)
            left.plot(points[:, 0], points[:, 1], marker="o", markersize=3, label=name)
        left.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of the answer", ylabel="share that is right")
        left.set_title(f"{each.name}, n = {len(each.correct)}")
        left.legend()
        curve = risk_coverage(each.after, each.correct)
        share = np.arange(1, len(curve) + 1) / len(curve)
        right.plot(share, curve)
        right.axvline(0.8, color="0.7", linewidth=1)
        right.set(xlim=(0, 1), ylim=(min(0.5, float(curve[-1])), 1), xlabel="share answered, the surest first")
        right.set_ylabel("share that is right")
    figure.suptitle(title)
    figure.tight_layout()
    with whole_file(path) as file:
        figure.savefig(file, format="png")
    pyplot.close(figure)
