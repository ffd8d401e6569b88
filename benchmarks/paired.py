"""Two networks on the same images: their difference, and how sure it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

N_DRAWS = 10_000


def right(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> str:
    """One digit per image with a label: 1 where the answer is right.

    Args:
        probabilities: (n, classes).
        labels: (n,) class indices; -1 where an image has none.
    """
    rows = labels >= 0
    return "".join(map(str, (probabilities[rows].argmax(axis=1) == labels[rows]).astype(int).tolist()))


def accuracy(answers: str) -> float:
    """Of ``right``'s digits."""
    return answers.count("1") / len(answers)


def difference(a: str, b: str) -> tuple[float, float, float]:
    """Accuracy of a minus that of b on the same images, and its 95% interval by paired bootstrap."""
    first, second = (np.array(list(text), dtype=np.int8) for text in (a, b))
    each = first - second
    random = np.random.default_rng(1)
    # an image's difference is -1, 0 or 1: drawing images is drawing how many of each
    shares = [(each == value).mean() for value in (-1, 0, 1)]
    counts = random.multinomial(len(each), shares, N_DRAWS)
    means = (counts[:, 2] - counts[:, 0]) / len(each)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(each.mean()), float(low), float(high)


def in_points(a: str, b: str) -> str:
    """``difference`` as a table's cell."""
    mean, low, high = (100 * value for value in difference(a, b))
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"
