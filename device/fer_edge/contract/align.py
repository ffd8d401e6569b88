"""Crop geometry: the similarity transform that brings a face's landmarks onto the template.

Points are plain numbers x + iy, a similarity is (a, b) of z -> a z + b: for so few points faster than arrays.
"""

from __future__ import annotations

import cmath
from collections.abc import Mapping, Sequence

from fer_edge.contract.errors import LandmarkError
from fer_edge.contract.specs import LANDMARKS, AlignSpec, Landmark

Point = tuple[float, float]

# The one crop template: where landmarks come to lie in a crop of 96 px, as they lie in FER2013's Training images, made
# mirror-symmetric; `fer-host geometry` measures it. Crops of other sizes have it in proportion.
TEMPLATE_PX = 96
TEMPLATE: Mapping[Landmark, Point] = {
    "right_eye": (29.9, 37.8),
    "left_eye": (66.1, 37.8),
    "nose": (48.0, 56.9),
    "mouth": (48.0, 74.4),
}


def align_for(crop_px: int) -> AlignSpec:
    """The template for a square crop of this side, to a tenth of a px.

    Raises:
        SchemaError: a side below 8 px.
    """
    points = [TEMPLATE[name] for name in LANDMARKS]
    scaled = tuple((round(x * crop_px / TEMPLATE_PX, 1), round(y * crop_px / TEMPLATE_PX, 1)) for x, y in points)
    return AlignSpec(LANDMARKS, scaled, (crop_px, crop_px))


def similarity(source: Sequence[complex], target: Sequence[complex]) -> tuple[complex, complex]:
    """Least-squares similarity (rotation, one scale, translation; no mirror) from points to points.

    Umeyama 1991, IEEE TPAMI 13(4), eq. 40-42, in its closed 2-D form.

    Args:
        source: k points, k >= 2.
        target: k points.

    Returns:
        (a, b): target ~ a source + b; the scale is abs(a).

    Raises:
        LandmarkError: the source points coincide or are not finite.
    """
    if not all(map(cmath.isfinite, source)):
        raise LandmarkError("landmarks: found a coordinate that is not finite, expected px positions")
    s_mean, t_mean = sum(source) / len(source), sum(target) / len(target)
    spread = sum(abs(z - s_mean) ** 2 for z in source)
    if spread < 1e-9 * max(1.0, *(max(abs(z.real), abs(z.imag)) for z in source)) ** 2:
        raise LandmarkError("landmarks: all lie on one point, expected distinct positions")
    # a = scale * (cos + i sin)
    a = sum((z - s_mean).conjugate() * (w - t_mean) for z, w in zip(source, target, strict=True)) / spread
    return a, t_mean - a * s_mean


def crop_similarity(landmarks: Mapping[str, Point], spec: AlignSpec) -> tuple[complex, complex]:
    """(a, b) from picture px to crop px; both with pixel centers at .5.

    Raises:
        LandmarkError: a landmark of the template is missing, or they coincide.
    """
    missing = [name for name in spec.landmarks if name not in landmarks]
    if missing:
        raise LandmarkError(f"landmarks: lacks {', '.join(missing)}; found {', '.join(landmarks) or 'none'}")
    return similarity([complex(*landmarks[name]) for name in spec.landmarks], [complex(*at) for at in spec.template])
