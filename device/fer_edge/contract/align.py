"""Crop geometry: the similarity transform that brings a face's landmarks onto the template."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.errors import LandmarkError
from fer_edge.contract.manifest import AlignSpec

Point = tuple[float, float]


def estimate_similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least-squares similarity (rotation, one scale, translation; no mirror) from points to points.

    Umeyama 1991, IEEE TPAMI 13(4), eq. 40-42, in its closed 2-D form.

    Args:
        source: (k, 2) points, k >= 2.
        target: (k, 2) points.

    Returns:
        (2, 3) matrix M with target ~ M @ [x, y, 1].

    Raises:
        LandmarkError: the source points coincide or are not finite.
    """
    if not np.isfinite(source).all():
        raise LandmarkError("landmarks: found a coordinate that is not finite, expected px positions")
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    s, t = source - source_mean, target - target_mean
    spread = float((s * s).sum())
    if spread < 1e-9 * max(1.0, float(np.abs(source).max())) ** 2:
        raise LandmarkError("landmarks: all lie on one point, expected distinct positions")
    a = float((s * t).sum()) / spread  # scale * cos
    b = float((s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum()) / spread  # scale * sin
    linear = np.array([[a, -b], [b, a]])
    return np.column_stack([linear, target_mean - linear @ source_mean])


def crop_matrix(landmarks: Mapping[str, Point], spec: AlignSpec) -> NDArray[np.float64]:
    """(2, 3) matrix from picture px (x, y) to crop px; both with pixel centers at .5.

    Raises:
        LandmarkError: a landmark of the template is missing, or they coincide.
    """
    missing = [name for name in spec.landmarks if name not in landmarks]
    if missing:
        raise LandmarkError(f"landmarks: lacks {', '.join(missing)}; found {', '.join(landmarks) or 'none'}")
    source = np.array([landmarks[name] for name in spec.landmarks], dtype=np.float64)
    return estimate_similarity(source, np.array(spec.template, dtype=np.float64))


def matrix_scale(matrix: NDArray[np.float64]) -> float:
    """Crop px per picture px of a (2, 3) similarity."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))
