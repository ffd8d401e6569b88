"""What a camera, its place and its user do to a face, one thing at a time and by a fixed amount: for measuring.

Training draws its own (``spoil``); these are made by OpenCV, so that no network is tested by the code that taught it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.specs import AlignSpec
from fer_host.data.occlude import occlude

Picture = NDArray[np.uint8]
Corruption = Callable[[Picture, np.random.Generator], Picture]

_SIDE_PX = 48  # lengths are px of a face of this side; on a larger crop they grow with it


def _round(values: NDArray[np.float32] | NDArray[np.float64]) -> Picture:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def _gain(factor: float, face: Picture, _: np.random.Generator) -> Picture:
    return _round(face * np.float32(factor))


def _haze(face: Picture, _: np.random.Generator) -> Picture:
    return _round(face * np.float32(0.25) + 150)


def _noise(gain: float, sigma: float, face: Picture, random: np.random.Generator) -> Picture:
    return _round(face * gain + random.normal(0, sigma, face.shape))


def _defocus(sigma_px: float, face: Picture, _: np.random.Generator) -> Picture:
    return np.asarray(cv2.GaussianBlur(face, (0, 0), sigma_px * face.shape[0] / _SIDE_PX), dtype=np.uint8)


def _motion(length_px: float, face: Picture, random: np.random.Generator) -> Picture:
    """A line in a random direction."""
    length = length_px * face.shape[0] / _SIDE_PX
    side = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((side, side), dtype=np.float32)
    angle, half = random.uniform(0, np.pi), (length - 1) / 2
    for t in np.linspace(-half, half, 8 * side):
        x, y = side // 2 + t * np.cos(angle), side // 2 + t * np.sin(angle)
        x0, y0 = int(np.floor(x)), int(np.floor(y))
        for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
            if 0 <= x0 + dx < side and 0 <= y0 + dy < side:
                kernel[y0 + dy, x0 + dx] += (1 - abs(x - x0 - dx)) * (1 - abs(y - y0 - dy))
    moved = cv2.filter2D(face.astype(np.float32), -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    return _round(np.asarray(moved))


def _jpeg(quality: int, face: Picture, _: np.random.Generator) -> Picture:
    packed = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_UNCHANGED), dtype=np.uint8)


def _small(side_px: int, face: Picture, _: np.random.Generator) -> Picture:
    small = cv2.resize(face, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, face.shape[1::-1], interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _moved(shift: float, scale: float, turn_deg: float, face: Picture, random: np.random.Generator) -> Picture:
    """Shifted by up to a share of the side, scaled by 1 ± ``scale``, turned by exactly ± ``turn_deg``."""
    height, width = face.shape[:2]
    turn = turn_deg * random.choice((-1, 1))
    matrix = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), turn, 1 + random.uniform(-scale, scale))
    matrix[:, 2] += random.uniform(-shift, shift, 2) * (width, height)
    return np.asarray(cv2.warpAffine(face, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8)


def _cast(face: Picture, random: np.random.Generator) -> Picture:
    """Two lamps of different colors, one from each side."""
    color = face if face.ndim == 3 else np.repeat(face[:, :, None], 3, axis=2)
    lamps = random.uniform(0.45, 1.3, (2, 3))
    share = np.linspace(0, 1, face.shape[1])[None, :, None]
    return _round(color * (lamps[0] * (1 - share) + lamps[1] * share))


def corruptions(align: AlignSpec) -> dict[str, Corruption]:
    """By name, in the order of the tables; each takes (h, w) gray or (h, w, 3) RGB and gives one of the same size.

    Args:
        align: where eyes and mouth are in a crop.
    """
    return {
        "brightness x0.25": partial(_gain, 0.25),
        "brightness x0.1": partial(_gain, 0.1),
        "brightness x2.2": partial(_gain, 2.2),
        "haze (0.25 v + 150)": _haze,
        "x0.3 with noise (6 of 255)": partial(_noise, 0.3, 6.0),
        "noise (20 of 255)": partial(_noise, 1.0, 20.0),
        "motion blur, 7 px of 48": partial(_motion, 7.0),
        "defocus, sigma 1.5 px of 48": partial(_defocus, 1.5),
        "JPEG quality 10": partial(_jpeg, 10),
        "24 px": partial(_small, 24),
        "crop shifted by up to 10%, scaled by 1 ± 0.15": partial(_moved, 0.1, 0.15, 0.0),
        "turned by 30° either way": partial(_moved, 0.0, 0.0, 30.0),
        "eyes covered": lambda face, _: occlude(face, align, "eyes"),
        "mouth covered": lambda face, _: occlude(face, align, "mouth"),
        "two lamps of different colors": _cast,
    }


def corrupted(name: str, change: Corruption, faces: list[Picture], seed: int) -> list[Picture]:
    """All faces, each with draws of its own that depend on nothing but name, seed and place."""
    return [change(face, np.random.default_rng([seed, zlib.crc32(name.encode()), i])) for i, face in enumerate(faces)]
