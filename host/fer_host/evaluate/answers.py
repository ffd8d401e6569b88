"""The gate of a user's own network: does its quantized file answer as its float file does, on pictures of theirs?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.preprocess import preprocess
from fer_host.convert.onnx_variants import run_onnx_file
from fer_host.convert.parity import Parity, answer_gates, compare
from fer_host.data.faces import TRAINING, FaceData, FaceRows
from fer_host.data.labels import meant
from fer_host.data.load import load_data
from fer_host.detector.networks import load_detector_model
from fer_host.device_pipeline import RgbImage, face_cropper
from fer_host.errors import DataError
from fer_host.recipe.recipe import Recipe
from fer_host.tflite.run import run_tflite


@dataclass(frozen=True)
class Pictures:
    """What is asked: inputs (n, H, W, C) float32, their true labels (n,) where known, and what they are, in words."""

    inputs: NDArray[np.float32]
    truth: NDArray[np.int64] | None
    what: str


def pictures_of(
    recipe: Recipe, crops: Sequence[NDArray[np.uint8]], labels: Sequence[str | None], what: str
) -> Pictures:
    """Face crops as the network sees them; labels count where every crop has one of the recipe's."""
    index = {meant(name): i for i, name in enumerate(recipe.label_names)}
    known = [index.get(meant(label), -1) if label else -1 for label in labels]
    truth = np.array(known, dtype=np.int64) if known and min(known) >= 0 else None
    return Pictures(np.stack([preprocess(crop, recipe.input, recipe.input_hw) for crop in crops]), truth, what)


def pictures_in(recipe: Recipe, data: Path) -> Pictures:
    """A labelled data set's rows that are no Training rows, or all where it has only those.

    Raises:
        DataError: see ``load_data``.
    """
    rows = read_rows(recipe, data)
    held_out = rows.select((rows.usage != TRAINING) & (rows.labels(recipe.labels) >= 0))
    rows = held_out if len(held_out) else rows.select(rows.labels(recipe.labels) >= 0)
    names = [rows.names(recipe.labels)[i] for i in rows.labels(recipe.labels)]
    return pictures_of(recipe, list(rows.images), names, f"{len(rows)} faces of {data.name}")


def read_rows(recipe: Recipe, data: Path) -> FaceData:
    """A labelled data set as crops in the colors that the network takes."""
    cut = face_cropper(load_detector_model(recipe.detector), recipe.align)

    def crop(photo: RgbImage) -> RgbImage | None:
        return cut(photo)

    rows: FaceRows = load_data(
        data,
        crop=crop,
        size_px=recipe.input.source_px,
        color="rgb" if recipe.input.color == "rgb" else "gray",
        labels=recipe.labels,
        own=recipe.own_labels,
        person=recipe.person,
    )
    if not isinstance(rows, FaceData):
        raise DataError(f"data {data}: could not be read as faces")
    return rows


def answer_parity(
    stage: str, recipe: Recipe, float32: Path, quantized: Path, pictures: Pictures, accepted: float | None = None
) -> Parity:
    """A quantized file against the float file on pictures, with the gates that it must hold there.

    Args:
        stage: the variant.
        recipe: gives label sets and the limit of the loss.
        float32: the float tflite file.
        quantized: the variant's, tflite or ONNX.
        pictures: that both are asked about.
        accepted: see ``answer_gates``.
    """
    run = run_onnx_file if quantized.suffix == ".onnx" else run_tflite
    expected, found = run_tflite(float32, pictures.inputs), run(quantized, pictures.inputs)
    parity = compare(stage, expected, found, "float32", tuple(slice(*each.slice) for each in recipe.label_sets))
    has_labels = pictures.truth is not None
    if pictures.truth is not None:
        own = slice(*recipe.label_sets[0].slice)
        before, after = (float((x[:, own].argmax(axis=1) == pictures.truth).mean()) for x in (expected, found))
        parity = replace(parity, reference_accuracy=before, accuracy=after)
    gates = answer_gates(parity.n, has_labels, recipe.convert.accuracy_drop, accepted)
    return replace(parity, on=pictures.what, gates=gates)
