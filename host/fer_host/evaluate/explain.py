"""``fer-host explain``: where in a face a network sees an expression, as a heat map over the crop (Grad-CAM).

Selvaraju et al. 2017, arXiv 1610.02391. Photos go through the device's own detector, crop and preprocess.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from fer_edge.contract.preprocess import preprocess
from fer_host.detector.networks import load_photo_detector
from fer_host.device_pipeline import PHOTO_SUFFIXES, RgbImage, crop_face, photo_files, read_photo
from fer_host.errors import DataError, RecipeError
from fer_host.files.artifacts import write_bytes
from fer_host.models.weights import load_network
from fer_host.recipe.recipe import Recipe

Method = Literal["grad-cam", "hires-cam"]
PANEL_PX = 320
_CAPTION_PX = 36
_HEAT_SHARE = 0.5  # of the overlay, where the heat is greatest


@dataclass(frozen=True)
class Heat:
    """What the network saw.

    Attributes:
        heat: (h, w) float32 in 0..1, of the network's input; all zero where nothing speaks for the class.
        index: the class explained.
        probabilities: (classes,).
        map_px: side of the map that the heat was taken from; it cannot be sharper than that.
    """

    heat: NDArray[np.float32]
    index: int
    probabilities: NDArray[np.float32]
    map_px: int


@dataclass(frozen=True)
class Explained:
    """One face's outcome; ``picture`` is None where no face was found."""

    photo: Path
    picture: Path | None
    label: str = ""
    probability: float = 0.0
    map_px: int = 0

    def line(self) -> str:
        """For the terminal."""
        if self.picture is None:
            return f"{self.photo}: no face found"
        return f"{self.photo}: {self.label} {self.probability:.1%}, map {self.map_px} px -> {self.picture}"


def explain(
    recipe: Recipe,
    photos: Iterable[Path],
    out: Path,
    *,
    weights: Path | None = None,
    label: str | None = None,
    method: Method = "grad-cam",
    map_px: int = 1,
) -> Iterable[Explained]:
    """Writes one PNG for each face that ``fer-edge image`` finds: the face, and it under its heat map with the answer.

    Args:
        recipe: the network, its input, its detector and crop.
        photos: files, or folders of them.
        out: folder for the PNG files; the photos' own names, numbered where two are alike.
        weights: a user's own; None takes what ships.
        label: the class to explain; None takes the network's answer.
        method: see ``heat_map``.
        map_px: see ``heat_map``.

    Raises:
        DataError: there is no photo.
        RecipeError: ``label`` is none of the network's.
    """
    names = recipe.label_names
    if label is not None and label not in names:
        raise RecipeError(f"label {label!r}: {recipe.id} has no such output; expected one of {', '.join(names)}")
    files = [file for path in photos for file in (photo_files(path) if path.is_dir() else [path])]
    if not files:
        raise DataError(
            f"photos: found none in the folders given; expected files ending in {', '.join(PHOTO_SUFFIXES)}"
        )
    network = load_network(recipe, weights)
    detector = load_photo_detector(recipe)
    taken: set[Path] = set()
    for file in files:
        image = read_photo(file).image
        faces = [crop_face(image, face.landmarks, recipe.align) for face in detector.detect(image)]
        if not faces:
            yield Explained(file, None)
        for face in faces:
            x = torch.from_numpy(preprocess(face, recipe.input, recipe.input_hw)).permute(2, 0, 1)[None]
            index = None if label is None else names.index(label)
            found = heat_map(network, x, index, method, map_px, n_classes=len(names))
            name, probability = names[found.index], float(found.probabilities[found.index])
            picture = _free_name(out, file.stem, taken)
            drawn = cv2.cvtColor(draw(face, found.heat, name, probability), cv2.COLOR_RGB2BGR)
            write_bytes(picture, cv2.imencode(".png", drawn)[1].tobytes())
            yield Explained(file, picture, name, probability, found.map_px)


def heat_map(
    network: nn.Module,
    x: torch.Tensor,
    index: int | None = None,
    method: Method = "grad-cam",
    map_px: int = 1,
    n_classes: int | None = None,
) -> Heat:
    """Grad-CAM on the last convolutional map: relu of its channels' sum, weighed by the class' mean gradient.

    Args:
        network: any that ends in (1, classes) logits.
        x: (1, channels, h, w), normalized.
        index: the class; None takes the largest logit.
        method: "grad-cam" weighs a channel by its gradient's mean over all positions (Selvaraju et al. 2017, eq. 1-2).
            That is right for networks that end in a global mean. A head that weighs positions (LARN, DDAMFN, LFER-LDL)
            can turn away from where this shows heat; "hires-cam" multiplies position by position (Draelos and Carin
            2020, arXiv 2011.08891), which is exact where a linear layer follows the map.
        n_classes: the first outputs, which are those of the recipe's own labels; None: all are.
        map_px: take an earlier map, the last one with at least this side: sharper, but less tied to the class.
    """
    network.eval()
    with torch.enable_grad():
        logits, feature = _last_map(network, x.detach().requires_grad_(True), map_px)
        logits = logits[:, :n_classes]
        chosen = int(logits[0].argmax()) if index is None else index
        (gradient,) = torch.autograd.grad(logits[0, chosen], feature)
    weight = gradient if method == "hires-cam" else gradient.mean(dim=(2, 3), keepdim=True)
    cam = torch.relu((weight * feature.detach()).sum(dim=1, keepdim=True))
    cam = functional.interpolate(cam, x.shape[2:], mode="bilinear", align_corners=False)[0, 0]
    peak = float(cam.max())
    heat = (cam / peak if peak > 0 else cam).numpy().astype(np.float32)
    probabilities = torch.softmax(logits.detach()[0], dim=0).numpy()
    return Heat(heat, chosen, probabilities, int(feature.shape[2]))


def _last_map(network: nn.Module, x: torch.Tensor, map_px: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and the last map (1, c, h, w) that still has a place for every place of the last convolution.

    All modules' inputs and outputs are looked at, so that what comes after that convolution (normalization,
    activation, an attention that multiplies it) is part of the map, and pooling is not. Strips (h x 1), as
    coordinate attention has them, and single positions are no maps.
    """
    height, width = x.shape[2:]
    seen: list[tuple[bool, torch.Tensor]] = []  # made by a convolution?, tensor; in the order of the computation

    def note(by_convolution: bool, value: Any) -> None:
        if isinstance(value, torch.Tensor) and value.ndim == 4 and value.requires_grad and value is not x:
            h, w = value.shape[2:]
            if min(h, w) > 1 and h * width == w * height and h >= map_px:
                seen.append((by_convolution, value))

    def before(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        for value in inputs:
            note(False, value)

    def after(by_convolution: bool, _: nn.Module, __: tuple[Any, ...], output: Any) -> None:
        note(by_convolution, output)

    hooks = []
    for module in network.modules():
        hooks.append(module.register_forward_pre_hook(before))
        hooks.append(module.register_forward_hook(partial(after, isinstance(module, nn.Conv2d))))
    try:
        logits: torch.Tensor = network(x)
    finally:
        for hook in hooks:
            hook.remove()
    sides = [value.shape[2] for by_convolution, value in seen if by_convolution]
    if not sides:
        raise DataError(
            f"map of {map_px} px: the network has no convolution with so large a map at {height} x {width} px input; "
            "expected a smaller --map-px"
        )
    return logits, next(value for _, value in reversed(seen) if value.shape[2] == sides[-1])


def draw(face: RgbImage, heat: NDArray[np.float32], label: str, probability: float) -> RgbImage:
    """Face and overlay side by side above a caption: (PANEL_PX + caption, 2 PANEL_PX, 3) RGB."""
    size = (PANEL_PX, PANEL_PX)
    plain = cv2.resize(face, size, interpolation=cv2.INTER_LINEAR)
    share = cv2.resize(heat, size, interpolation=cv2.INTER_LINEAR)
    colors = cv2.applyColorMap(np.rint(share * 255).astype(np.uint8), cv2.COLORMAP_JET)[:, :, ::-1]
    part = _HEAT_SHARE * share[:, :, None]
    over = np.rint(plain * (1 - part) + colors * part).astype(np.uint8)
    canvas = np.full((PANEL_PX + _CAPTION_PX, 2 * PANEL_PX, 3), 255, dtype=np.uint8)
    canvas[:PANEL_PX] = np.hstack([plain, over])
    place = (10, PANEL_PX + _CAPTION_PX - 11)
    text = f"{label} {probability:.1%}"
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 0), 1, cv2.LINE_AA)
    return canvas


def _free_name(out: Path, stem: str, taken: set[Path]) -> Path:
    path, number = out / f"{stem}.png", 1
    while path in taken:
        number += 1
        path = out / f"{stem}-{number}.png"
    taken.add(path)
    return path
