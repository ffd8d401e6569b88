"""Faces that are cut out already: classified as they are, a few at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.preprocess import preprocess
from fer_edge.library.arrays import Order, as_crop
from fer_edge.library.reading import Face
from fer_edge.pipeline import Pipeline

AT_ONCE = 8  # more gain nothing, see LiteRunner


def read_crops(pipeline: Pipeline, crops: Iterable[NDArray[Any]], order: Order) -> list[Face]:
    """One face a crop, see ``Reader.read_crops``.

    Raises:
        ImageError: one of them is no picture.
    """
    manifest, faces = pipeline.manifest, []
    rest: Iterator[NDArray[np.uint8]] = (as_crop(crop, order, f"crops[{i}]") for i, crop in enumerate(crops))
    while some := list(islice(rest, AT_ONCE)):
        prepared = np.stack([preprocess(crop, manifest.input, pipeline.variant.input_hw) for crop in some])
        for crop, row in zip(some, pipeline.answer(prepared), strict=True):
            height, width = crop.shape[:2]
            shares = dict(zip(manifest.labels, row, strict=True))
            faces.append(
                Face((0.0, 0.0, float(width), float(height)), {}, 1.0, max(shares, key=shares.__getitem__), shares)
            )
    return faces
