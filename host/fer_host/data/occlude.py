"""A gray bar over the eyes or the mouth of an aligned face: which part of it does a network need?"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.specs import AlignSpec

Part = Literal["eyes", "mouth"]
GRAY = 127
# Of the distance between the eyes. One bar for both parts, so that the hidden area does not make the difference: it
# holds both eyes with their brows, or a wide open mouth, and ends short of the nose.
HALF_WIDTH, HALF_HEIGHT = 0.95, 0.35


def bar(align: AlignSpec, part: Part, size_hw: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns that the bar covers in a crop of ``size_hw`` px, by the template's landmarks."""
    at = dict(zip(align.landmarks, align.template, strict=True))
    right, left = np.array(at["right_eye"]), np.array(at["left_eye"])
    middle = (right + left) / 2 if part == "eyes" else np.array(at["mouth"])
    reach = float(np.linalg.norm(left - right)) * np.array([HALF_WIDTH, HALF_HEIGHT])
    scale = np.array([size_hw[1] / align.crop_hw[1], size_hw[0] / align.crop_hw[0]])
    x0, y0 = np.rint(np.maximum(middle - reach, 0) * scale).astype(int)
    x1, y1 = np.rint((middle + reach) * scale).astype(int)
    return slice(int(y0), int(y1)), slice(int(x0), int(x1))


def occlude(crop: NDArray[np.uint8], align: AlignSpec, part: Part) -> NDArray[np.uint8]:
    """A copy of an aligned crop (h, w) or (h, w, 3), of any size, with the bar."""
    covered = crop.copy()
    rows, cols = bar(align, part, (crop.shape[0], crop.shape[1]))
    covered[rows, cols] = GRAY
    return covered
