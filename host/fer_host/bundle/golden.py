"""Golden inputs: faces that may ship (packaged photos), jittered, with the outputs that a board must reproduce."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.answer import raw_answers
from fer_edge.contract.manifest import Variant
from fer_edge.contract.preprocess import preprocess
from fer_edge.contract.specs import AlignSpec
from fer_host.device_pipeline import (
    FaceDetector,
    LiteRunner,
    crop_face,
    largest_face,
    open_runner,
    open_source,
    read_photo,
)
from fer_host.errors import ToolError
from fer_host.files.artifacts import write_bytes
from fer_host.models.weights import package_file
from fer_host.recipe.recipe import Recipe

# (distribution, file): NASA's portrait of Eileen Collins and the US Navy's of Grace Hopper, both public domain
PHOTOS = {
    "astronaut.png": ("scikit-image", "skimage/data/astronaut.png"),
    "grace_hopper.jpg": ("matplotlib", "matplotlib/mpl-data/sample_data/grace_hopper.jpg"),
}
N_PARITY = 64
N_SHIPPED = 8
N_DRAWN = 2  # pictures of a drawn face, in two moods


def write_sample_photos(target: Path) -> list[Path]:
    """Copies the packaged photos: all into a folder, or the astronaut to a .png file."""
    if target.suffix == ".png":
        write_bytes(target, package_file(*PHOTOS["astronaut.png"]).read_bytes())
        return [target]
    for name, source in PHOTOS.items():
        write_bytes(target / name, package_file(*source).read_bytes())
    return [target / name for name in PHOTOS]


def golden_crops(detector: FaceDetector, align: AlignSpec, n: int = N_PARITY, seed: int = 0) -> NDArray[np.uint8]:
    """Aligned crops (n, h, w, 3) uint8 RGB of the packaged photos and of drawn faces, moved and relit at random.

    The first ones are the pictures as they are. Flat or random pictures would say nothing: all get one answer.
    """
    pictures = [read_photo(package_file(*source)).image for source in PHOTOS.values()]
    pictures += [frame.image for frame in open_source(f"synthetic://?n={N_DRAWN}&fps=1")]
    faces = []
    for number, image in enumerate(pictures):
        face = largest_face(detector, image)
        if face is None:
            raise ToolError(f"golden picture {number}: the detector finds no face; reinstall the packages")
        faces.append((image, face.landmarks))
    random = np.random.default_rng(seed)
    crops = []
    for i in range(n):
        image, landmarks = faces[i % len(faces)]
        if i < len(faces):
            crops.append(crop_face(image, landmarks, align))
            continue
        crop = crop_face(image, _jitter(landmarks, random), align).astype(np.float32)
        crop = (crop - 128) * random.uniform(0.5, 1.4) + 128 + random.uniform(-50, 50)
        if random.random() < 0.5:
            crop = crop[:, ::-1]
        crops.append(np.clip(np.rint(crop), 0, 255).astype(np.uint8))
    return np.stack(crops)


def _jitter(landmarks: dict[str, tuple[float, float]], random: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Landmarks turned by up to 25 degrees, scaled by 0.75 to 1.3 and shifted by up to 0.15 of their extent."""
    points = np.array(list(landmarks.values()))
    center, extent = points.mean(axis=0), np.ptp(points, axis=0).max()
    angle, scale = random.uniform(-0.44, 0.44), random.uniform(0.75, 1.3)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (points - center) @ turn.T + center + random.uniform(-0.15, 0.15, 2) * extent
    return {name: (float(x), float(y)) for name, (x, y) in zip(landmarks, moved, strict=True)}


def network_inputs(crops: NDArray[np.uint8], recipe: Recipe) -> NDArray[np.float32]:
    """Crops through the device's preprocess: (n, H, W, 3) float32."""
    return np.stack([preprocess(crop, recipe.input, recipe.input_hw) for crop in crops])


def golden_file(crops: NDArray[np.uint8], recipe: Recipe, networks: dict[str, tuple[Variant, bytes]]) -> bytes:
    """The bundle's npz: crops, their network inputs, and by variant the raw output of the reference kernels
    (``reference/<variant>``; an ONNX file has no such kernels) and the probabilities of this machine's default kernels
    (``probabilities/<variant>``), of an ONNX file those of the CPU provider.
    """  # noqa: D205
    arrays: dict[str, NDArray[np.generic]] = {"crops": crops, "inputs": network_inputs(crops, recipe)}
    for name, (variant, content) in networks.items():
        default = open_runner(content, variant, provider="cpu")
        if variant.format != "onnx":
            reference = LiteRunner(content, variant, reference_kernels=True)
            arrays[f"reference/{name}"] = np.concatenate([reference.raw(row[None]) for row in arrays["inputs"]])
        logits = np.concatenate([default(row[None]) for row in arrays["inputs"]])
        arrays[f"probabilities/{name}"] = raw_answers(logits, recipe.label_sets)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
