"""Unlabelled photos in training: the device's own crops, labelled by the network of the cycle before."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from fer_edge.contract.preprocess import preprocess, resize, softmax
from fer_host.detector import load_detector_model
from fer_host.device_pipeline import ImageError, crop_face, largest_face, photo_files, read_photo
from fer_host.errors import DataError
from fer_host.recipe import Recipe
from fer_host.train.loop import TrainSet

MIN_PHOTOS = 200  # fewer say too little about the statistics of every layer
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def photo_crops(folder: Path | None, recipe: Recipe) -> NDArray[np.uint8]:
    """The largest face of every photo as the device cuts it, reduced to gray (n, source_px, source_px) uint8.

    Raises:
        DataError: no folder, or too few photos with a face.
    """
    files = photo_files(folder) if folder is not None and folder.is_dir() else []
    detector = load_detector_model(recipe.detector)
    side = recipe.input.source_px
    crops = []
    for path in tqdm(files, unit="photo", desc="photos", disable=None, leave=False):
        try:
            image = read_photo(path).image
        except ImageError:
            continue
        face = largest_face(detector, image)
        if face is not None:
            gray = crop_face(image, face.landmarks, recipe.align).astype(np.float32) @ _LUMA
            crops.append(np.clip(np.rint(resize(gray, (side, side), "area")), 0, 255).astype(np.uint8))
    if len(crops) < MIN_PHOTOS:
        raise DataError(
            f"photos {folder}: {len(crops)} faces in {len(files)} photos, expected at least {MIN_PHOTOS}; "
            f"the recipe {recipe.id} needs --photos FOLDER with unlabelled faces"
        )
    return np.stack(crops)


def labelled_by(teacher: nn.Module, crops: NDArray[np.uint8], recipe: Recipe, size_px: int) -> TrainSet:
    """Crops with the teacher's probabilities as targets.

    The teacher's batch norm is first re-estimated on the crops themselves (AdaBN, Li et al. 2016, arXiv 1603.04779):
    its own statistics belong to another domain.

    Args:
        teacher: gives logits; not changed.
        crops: (n, h, w) gray uint8.
        recipe: for the preprocess.
        size_px: the input size that the teacher was trained at.
    """
    adapted = copy.deepcopy(teacher)
    for module in adapted.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain mean over all batches
    batches = [
        torch.from_numpy(np.stack([preprocess(crop, recipe.input, (size_px, size_px)) for crop in part]))
        for part in np.array_split(crops, max(1, len(crops) // 128))
    ]
    with torch.no_grad():
        adapted.train()
        for batch in batches:
            adapted(batch.permute(0, 3, 1, 2))
        adapted.eval()
        logits = [adapted(batch.permute(0, 3, 1, 2)).numpy() for batch in batches]
    return TrainSet(crops, softmax(np.concatenate(logits)))


def joined(first: TrainSet, second: TrainSet, repeats: int) -> TrainSet:
    """``first`` with ``second`` appended ``repeats`` times."""
    images = np.concatenate([first.images, *[second.images] * repeats])
    return TrainSet(images, np.concatenate([first.targets, *[second.targets] * repeats]))
