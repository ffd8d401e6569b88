"""Where the landmarks lie in FER2013's training images: the crop template, measured with the device's detector."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fer_edge.contract.preprocess import resize
from fer_edge.contract.specs import LANDMARKS
from fer_host.data.damage import name_unreadable
from fer_host.data.load import load_data
from fer_host.data.pieces import pieces
from fer_host.detector.networks import load_detector_model
from fer_host.device_pipeline import largest_face
from fer_host.errors import DataError

ENLARGED_PX = 192  # 48 px images are too small for the detector as they are
BORDER_PX = ENLARGED_PX // 2  # tight crops without room around the face bias the landmarks
_BORDER_GRAY = 127


@dataclass(frozen=True)
class Geometry:
    """Landmark positions as fractions of the image side.

    Attributes:
        n: images looked at.
        found: images in which the detector saw a face.
        median: (x, y) by landmark.
        std: standard deviation of x and y by landmark.
        brightness: 1st and 99th percentile of the images' means (all Training images, 0..255).
        contrast: likewise of their standard deviations.
    """

    n: int
    found: int
    median: dict[str, tuple[float, float]]
    std: dict[str, tuple[float, float]]
    brightness: tuple[float, float]
    contrast: tuple[float, float]

    def template(self, crop_px: int) -> list[list[float]]:
        """The medians in crop pixels, eyes leveled and the whole made mirror-symmetric.

        Faces are as often seen from one side as from the other, so what is left of asymmetry is sampling noise.
        """
        right, left, nose, mouth = (self.median[name] for name in LANDMARKS)
        half, eye_y = (left[0] - right[0]) / 2, (left[1] + right[1]) / 2
        points = [(0.5 - half, eye_y), (0.5 + half, eye_y), (0.5, nose[1]), (0.5, mouth[1])]
        return [[round(x * crop_px, 1), round(y * crop_px, 1)] for x, y in points]


def enlarge(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A 48 px gray image (48, 48) as RGB (384, 384, 3): enlarged to 192 px inside a gray border of half its width."""
    big = resize(image.astype(np.float32), (ENLARGED_PX, ENLARGED_PX), "bilinear")
    bordered = np.pad(np.clip(np.rint(big), 0, 255).astype(np.uint8), BORDER_PX, constant_values=_BORDER_GRAY)
    return np.repeat(bordered[:, :, None], 3, axis=2)


def measure(data: Path, n: int, seed: int, detector_name: str) -> Geometry:
    """Detects landmarks in ``n`` random Training images.

    Raises:
        DataError: no data there, or no face found.
    """
    rows = load_data(data, quiet=True)
    rows = rows.select((rows.usage == "Training") & (rows.label8 >= 0))
    picked = np.random.default_rng(seed).permutation(len(rows))[:n]
    detector = load_detector_model(detector_name)
    points = []
    for i in tqdm(picked, unit="image", disable=None, leave=False):
        try:
            face = largest_face(detector, enlarge(rows.images[i]))
        except DataError as error:  # of those that stream
            name_unreadable([str(error)], "left out")
            continue
        if face is not None:
            points.append([face.landmarks[name] for name in LANDMARKS])
    if not points:
        raise DataError(f"data {data}: the detector {detector_name} found no face in {len(picked)} images")
    positions = (np.array(points) - BORDER_PX) / ENLARGED_PX  # found, 4, 2
    median, std = np.median(positions, axis=0).round(4), positions.std(axis=0).round(4)
    light = [
        (part[ok].mean(axis=(1, 2)), part[ok].std(axis=(1, 2))) for part, ok in pieces(rows.images, 1024)
    ]  # of all of them, some at a time
    means, deviations = (np.concatenate(each) for each in zip(*light, strict=True))
    dark, bright = np.percentile(means, [1, 99])
    flat, harsh = np.percentile(deviations, [1, 99])
    return Geometry(
        n=len(picked),
        found=len(points),
        median={name: (float(median[i, 0]), float(median[i, 1])) for i, name in enumerate(LANDMARKS)},
        std={name: (float(std[i, 0]), float(std[i, 1])) for i, name in enumerate(LANDMARKS)},
        brightness=(round(float(dark), 1), round(float(bright), 1)),
        contrast=(round(float(flat), 1), round(float(harsh), 1)),
    )
