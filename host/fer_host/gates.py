"""The gates that need labelled data: agreement with float and loss of accuracy, by variant, through the interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fer_edge.contract.manifest import Metric, Variant
from fer_edge.contract.preprocess import preprocess
from fer_host.convert.parity import DATA_GATES, check, check_accuracy_drop, compare
from fer_host.data import fer2013
from fer_host.device_pipeline import LiteRunner
from fer_host.errors import DataError
from fer_host.recipe import Recipe


def check_accuracy(
    recipe: Recipe, networks: Mapping[str, tuple[Variant, bytes]], data: Path
) -> dict[str, tuple[Metric, ...]]:
    """Accuracy of every variant on PublicTest; stops where one lost too much against float.

    Raises:
        GateError: names the variant, the metric, found and limit.
    """
    rows = fer2013.load(data)
    rows = rows.select((rows.usage == "PublicTest") & (rows.label8 >= 0))
    if not len(rows):
        raise DataError(f"data set {data}: no labelled PublicTest rows; expected some to measure accuracy on")
    inputs = [preprocess(image, recipe.input, recipe.input_hw)[None] for image in rows.images]
    logits: dict[str, NDArray[np.float32]] = {}
    metrics: dict[str, tuple[Metric, ...]] = {}
    for name, (variant, content) in networks.items():
        runner = LiteRunner(content, variant)
        parts = [runner(row) for row in tqdm(inputs, desc=name, unit="face", disable=None, leave=False)]
        logits[name] = np.concatenate(parts)
        accuracy = float((logits[name].argmax(axis=1) == rows.label8).mean())
        if name != "float32":
            check(compare(name, logits["float32"], logits[name], "float32"), DATA_GATES)
            before = float((logits["float32"].argmax(axis=1) == rows.label8).mean())
            check_accuracy_drop(name, before, accuracy, recipe.convert.accuracy_drop, len(rows))
        metrics[name] = (Metric("FER2013 PublicTest", "ferplus8", len(rows), round(accuracy, 6), "at conversion"),)
    return metrics
