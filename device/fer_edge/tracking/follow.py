"""Follows a face from frame to frame without a network: optical flow between small gray aligned pictures of it.

Lucas and Kanade 1981 in OpenCV's pyramidal form (Bouguet 2001), always against the frame that the detector saw, so
that errors do not add up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.align import align_for, crop_similarity, similarity
from fer_edge.errors import LandmarkError
from fer_edge.types import FaceBox, RgbImage

SIDE_PX = 48
_ALIGN = align_for(SIDE_PX)  # the small picture is the classifier's crop, half as large
_CENTER = complex(SIDE_PX, SIDE_PX) / 2
_GRID = np.stack(np.meshgrid(np.linspace(11, 36, 4), np.linspace(9, 40, 4)), axis=-1)
_POINTS = _GRID.reshape(-1, 1, 2).astype(np.float32)  # index coordinates, as OpenCV counts
_WINDOW_PX = (9, 9)
_LEVELS = 2
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 8, 0.05)
LEAST_INLIERS = 0.5  # of the points
MAX_RESIDUAL_PX = 1.2  # root mean square over the inliers, px of the small picture: 7% of the eye distance
MAX_SCALE = 1.5  # between the detection and now
Similarity = tuple[complex, complex]  # (a, b): z -> a z + b on points x + iy


@dataclass(frozen=True)
class Appearance:
    """A face as the detector saw it.

    Attributes:
        face: there.
        gray: (48, 48) uint8, aligned.
        to_gray: similarity from px of that frame to px of ``gray``.
    """

    face: FaceBox
    gray: NDArray[np.uint8]
    to_gray: Similarity


def appearance(image: RgbImage, face: FaceBox) -> Appearance:
    """What ``follow`` compares with.

    Raises:
        LandmarkError: the landmarks coincide.
    """
    gray, to_gray = _aligned(image, face)
    return Appearance(face, gray, to_gray)


def follow(image: RgbImage, seen: Appearance, guess: FaceBox) -> FaceBox | None:
    """Where the face is in another frame, or None where the flow does not tell.

    Args:
        image: the frame, (h, w, 3) RGB uint8.
        seen: the face as the detector saw it.
        guess: about where it is now: where it was in the last frame.
    """
    try:
        now, to_now = _aligned(image, guess)
    except LandmarkError:
        return None
    found, status, _ = cv2.calcOpticalFlowPyrLK(
        seen.gray, now, _POINTS, None, winSize=_WINDOW_PX, maxLevel=_LEVELS, criteria=_STOP
    )
    flow = _flow_of_all(found, status) or robust_similarity(_SOURCE, _centers(found), status[:, 0].tolist())
    if flow is None:
        return None
    a = flow[0] * seen.to_gray[0] / to_now[0]
    b = (flow[0] * seen.to_gray[1] + flow[1] - to_now[1]) / to_now[0]
    return _carried(seen.face, a, b)


def _aligned(image: RgbImage, face: FaceBox) -> tuple[NDArray[np.uint8], Similarity]:
    """The small gray picture of a face, and the similarity from px of the frame to its px, centers at .5."""
    a, b = crop_similarity(face.landmarks, _ALIGN)
    middle = (_CENTER - b) / a
    if not (0 <= middle.real < image.shape[1] and 0 <= middle.imag < image.shape[0]):
        raise LandmarkError("landmarks: the face lies outside the picture")
    shift = a * (0.5 + 0.5j) + b - (0.5 + 0.5j)  # cv2 puts pixel centers on whole numbers
    matrix = np.array([[a.real, -a.imag, shift.real], [a.imag, a.real, shift.imag]])
    small = cv2.warpAffine(image, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8), (a, b)


def _centers(points: NDArray[np.float32]) -> list[complex]:
    """(n, 1, 2) index coordinates -> n points with pixel centers at .5."""
    return [complex(x + 0.5, y + 0.5) for x, y in points[:, 0].tolist()]


_SOURCE = _centers(_POINTS)


def _fit_matrix() -> NDArray[np.float64]:
    """(4 + 2 n, 2 n + 1): from all points' x, y, … and a 1 to a, b and what each point is off, in one product.

    ``similarity`` is linear in the target, so that its answers to n unit targets tell all; this is
    ``robust_similarity`` where every point is kept.
    """
    n = len(_SOURCE)
    fits = np.array([similarity(_SOURCE, [complex(i == k) for i in range(n)]) for k in range(n)]).T  # (2, n)
    points = np.zeros((n, 2 * n + 1), dtype=np.complex128)  # index coordinates -> x + iy, centers at .5
    points[np.arange(n), 2 * np.arange(n)], points[np.arange(n), 2 * np.arange(n) + 1] = 1, 1j
    points[:, -1] = 0.5 + 0.5j
    a, b = fits @ points
    off = np.outer(_SOURCE, a) + b - points
    return np.vstack([a.real, a.imag, b.real, b.imag, off.real, off.imag])


_FIT = _fit_matrix()
_FIT_POINTS, _FIT_SHIFT = np.ascontiguousarray(_FIT[:, :-1]), _FIT[:, -1].copy()
_ALL_FOUND = bytes([1]) * len(_SOURCE)


def _flow_of_all(found: NDArray[np.float32], status: NDArray[np.uint8]) -> Similarity | None:
    """The usual case, a third of the time: every point was found and none is off by as much as an outlier."""
    if status.tobytes() != _ALL_FOUND:
        return None
    values = (_FIT_POINTS @ found.ravel() + _FIT_SHIFT).tolist()
    if max(values[4:]) > 0.7 or min(values[4:]) < -0.7:  # px along x or y: within the least limit of 1 px, certainly
        return None
    a = complex(values[0], values[1])
    return (a, complex(values[2], values[3])) if 1 / MAX_SCALE < abs(a) < MAX_SCALE else None


def robust_similarity(source: Sequence[complex], target: Sequence[complex], usable: Sequence[int]) -> Similarity | None:
    """The similarity that most points agree on; None where too few agree or it is implausible.

    ``similarity``, then again without the points that lie more than 2.5 median residuals (and 1 px) off. Plain numbers:
    for so few points four times as fast as arrays.

    Args:
        source: n points.
        target: where they went.
        usable: n flags, 0 where the flow was not found.
    """
    pairs = [(z, w) for z, w, ok in zip(source, target, usable, strict=True) if ok]
    kept = pairs
    for _ in range(2):
        n = len(kept)
        if n < max(2, LEAST_INLIERS * len(source)):
            return None
        try:
            a, b = similarity([z for z, _ in kept], [w for _, w in kept])
        except LandmarkError:  # they coincide
            return None
        residuals = sorted(abs(a * z + b - w) for z, w in kept)
        limit = max(1.0, 2.5 * residuals[n // 2])
        if residuals[-1] <= limit:
            break
        kept = [(z, w) for z, w in pairs if abs(a * z + b - w) <= limit]
    rms = math.sqrt(sum(r * r for r in residuals) / n)
    return (a, b) if 1 / MAX_SCALE < abs(a) < MAX_SCALE and rms <= MAX_RESIDUAL_PX else None


def _carried(face: FaceBox, a: complex, b: complex) -> FaceBox:
    """A face moved by a similarity; its box keeps its sides upright."""
    x, y, width, height = face.box
    middle = a * complex(x + width / 2, y + height / 2) + b
    width, height = width * abs(a), height * abs(a)
    marks = {}
    for name, (px, py) in face.landmarks.items():
        at = a * complex(px, py) + b
        marks[name] = (at.real, at.imag)
    return FaceBox((middle.real - width / 2, middle.imag - height / 2, width, height), marks, face.score)
