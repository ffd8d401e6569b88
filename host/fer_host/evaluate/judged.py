"""Every picture of an evaluation with its true label and what the bundle answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Judged:
    """n pictures.

    Attributes:
        names: labels in the order of the probabilities.
        images: what each picture is called: its path below the data's folder, or its row.
        crops: the faces that the network saw, (h, w) gray or (h, w, 3) RGB.
        labels: (n,) true label.
        probabilities: (n, labels).
    """

    names: tuple[str, ...]
    images: tuple[str, ...]
    crops: Sequence[NDArray[np.uint8]]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
