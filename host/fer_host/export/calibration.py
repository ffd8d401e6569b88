"""Pictures that a vendor's compiler may be given: the packaged photos and drawn faces, moved and relit, or the user's.

No data set's picture is among them: what is exported may be passed on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_host.bundle.golden import PHOTOS, golden_crops, network_inputs
from fer_host.calibration.faces import load_faces
from fer_host.detector.networks import load_detector_model
from fer_host.recipe.recipe import Recipe

_SEED = 2  # not that of the golden inputs, which the result is compared on


@dataclass(frozen=True)
class Pictures:
    """Network inputs (n, height, width, channels) float32, normalized, and what they are in words."""

    inputs: NDArray[np.float32]
    words: str


def pictures_for(recipe: Recipe, n: int, folder: Path | None) -> Pictures:
    """``n`` inputs for the vendor's quantizer.

    Args:
        recipe: whose input they are.
        n: how many; of a folder, at most.
        folder: of the user's own photos; None takes what ships with the packages.

    Raises:
        DataError: a folder that has too few faces in it.
    """
    if folder is None:
        crops = golden_crops(load_detector_model(recipe.detector), recipe.align, n, _SEED)
        names = " and ".join(PHOTOS)
        words = f"{n} crops of the packaged photos {names} (public domain) and of drawn faces, moved and relit"
        return Pictures(network_inputs(crops, recipe), words)
    faces = load_faces(folder, recipe, n, seed=1)
    inputs = np.concatenate([network_inputs(np.asarray(crop)[None], recipe) for crop in faces.crops])
    return Pictures(inputs, f"{len(inputs)} faces of {folder.name}, yours: pass them on only if you may")
