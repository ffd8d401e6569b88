"""The gates that need labelled data: agreement with float and loss of accuracy, by variant, through the interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fer_edge.contract.manifest import Metric, Variant
from fer_edge.contract.preprocess import preprocess
from fer_host.convert.parity import DATA_GATES, TUNED_GATES, check, check_accuracy_drop, compare
from fer_host.data import fer2013
from fer_host.device_pipeline import open_runner
from fer_host.errors import DataError
from fer_host.recipe.recipe import Recipe
from fer_host.tflite.run import run_tflite


def check_accuracy(
    recipe: Recipe,
    networks: Mapping[str, tuple[Variant, bytes]],
    data: Path,
    references: Mapping[str, Path] | None = None,
) -> dict[str, tuple[Metric, ...]]:
    """Accuracy of every variant on PublicTest by the recipe's own labels; stops where one lost too much against float.

    Args:
        recipe: gives labels, input and limits.
        networks: by variant, float32 among them.
        data: FER2013's npz.
        references: the float file that a variant must agree with, where that is not the float32 variant.

    Raises:
        GateError: names the variant, the metric, found and limit.
    """
    rows = fer2013.load(data)
    rows = rows.select((rows.usage == "PublicTest") & (rows.labels(recipe.labels) >= 0))
    truth, own_set = rows.labels(recipe.labels), slice(*recipe.label_sets[0].slice)
    sets = tuple(slice(*each.slice) for each in recipe.label_sets)
    if not len(rows):
        raise DataError(f"data set {data}: no labelled PublicTest rows; expected some to measure accuracy on")
    inputs = [preprocess(image, recipe.input, recipe.input_hw)[None] for image in rows.images]
    logits: dict[str, NDArray[np.float32]] = {}
    metrics: dict[str, tuple[Metric, ...]] = {}
    for name, (variant, content) in networks.items():
        runner = open_runner(content, variant)
        parts = [runner(row) for row in tqdm(inputs, desc=name, unit="face", disable=None, leave=False)]
        logits[name] = np.concatenate(parts)
        accuracy = float((logits[name][:, own_set].argmax(axis=1) == truth).mean())
        if name != "float32":
            own = (references or {}).get(name)
            expected = logits["float32"] if own is None else run_tflite(own, np.concatenate(inputs))
            reference = "float32" if own is None else "float of the tuned weights"
            check(compare(name, expected, logits[name], reference, sets), DATA_GATES if own is None else TUNED_GATES)
            before = float((logits["float32"][:, own_set].argmax(axis=1) == truth).mean())
            limit = recipe.convert.accuracy_drop if own is None else recipe.convert.accuracy_drop_mixed
            check_accuracy_drop(name, before, accuracy, limit, len(rows))
        metrics[name] = (Metric("FER2013 PublicTest", recipe.labels, len(rows), round(accuracy, 6), "at conversion"),)
    return metrics
