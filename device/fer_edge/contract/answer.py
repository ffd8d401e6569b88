"""From a network's outputs to probabilities: the one softmax of device, evaluation and golden vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.labels import LabelSet
from fer_edge.contract.preprocess import softmax


def answer(logits: NDArray[np.float32], labels: LabelSet) -> NDArray[np.float32]:
    """Probabilities (N, labels) of one label set from all outputs (N, outputs), calibrated where the set says how."""
    first, end = labels.slice
    own = logits[:, first:end]
    if labels.calibration is not None:
        own = own / np.float32(labels.calibration.temperature)
    return softmax(own)


def raw_answers(logits: NDArray[np.float32], sets: Sequence[LabelSet]) -> NDArray[np.float32]:
    """(N, outputs): the softmax of each label set by itself, not calibrated; golden vectors are kept like this."""
    return np.concatenate([softmax(logits[:, each.slice[0] : each.slice[1]]) for each in sets], axis=1)
