"""How faces are cut out of photos for a recipe's network: with which detector, to which crop."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from fer_edge.contract.specs import AlignSpec
from fer_host.detector.networks import load_detector_model
from fer_host.device_pipeline import RgbImage, face_cropper
from fer_host.recipe.recipe import Recipe


def cut_of(detector: str, align: AlignSpec) -> dict[str, Any]:
    """Detector and crop as JSON, as the record of a set in shards has them."""
    found: dict[str, Any] = json.loads(json.dumps({"detector": detector, **dataclasses.asdict(align)}))
    return found


def cutter(recipe: Recipe) -> Callable[[RgbImage], RgbImage | None]:
    """From a photo to the aligned crop of its largest face, with the recipe's detector; see ``face_cropper``."""
    return face_cropper(load_detector_model(recipe.detector), recipe.align)
