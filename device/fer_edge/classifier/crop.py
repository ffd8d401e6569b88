"""Cuts the aligned crop of a face out of a picture, by the contract's geometry."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.align import crop_similarity
from fer_edge.contract.specs import AlignSpec
from fer_edge.types import Point, RgbImage


def crop_face(image: RgbImage, landmarks: Mapping[str, Point], align: AlignSpec) -> RgbImage:
    """The face turned, scaled and shifted so that its landmarks lie on the template.

    Args:
        image: (h, w, 3) RGB uint8.
        landmarks: (x, y) in px of the picture, pixel centers at .5.
        align: the manifest's crop geometry.

    Returns:
        (crop_h, crop_w, 3) RGB uint8; what lies outside the picture repeats its edge.

    Raises:
        LandmarkError: a landmark is missing, or they coincide.
    """
    a, b = crop_similarity(landmarks, align)
    rows = [[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]]
    factor = int(1 / abs(a))  # picture px per crop px: shrink first, so that fine detail cannot alias
    if factor > 1:
        image, matrix = _shrunk(image, np.array(rows), align.crop_hw, factor)
        rows = matrix.tolist()
    height, width = align.crop_hw
    # cv2 puts pixel centers on whole numbers, the contract at .5
    shifted = np.array([[x, y, shift + ((x + y) / 2 - 0.5)] for x, y, shift in rows])
    crop = cv2.warpAffine(image, shifted, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, dtype=np.uint8)


def _shrunk(
    image: RgbImage, matrix: NDArray[np.float64], crop_hw: tuple[int, int], factor: int
) -> tuple[RgbImage, NDArray[np.float64]]:
    """The part of the picture that the crop shows, area-averaged by a whole factor, and its matrix to the crop."""
    height, width = crop_hw
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], dtype=np.float64)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    reach = corners @ inverse[:, :2].T + inverse[:, 2]
    margin = 2 * factor
    x0, y0 = (max(0, int(np.floor(value)) - margin) for value in reach.min(axis=0))
    x1, y1 = (int(np.ceil(value)) + margin for value in reach.max(axis=0))
    part = image[y0:y1, x0:x1]
    rows, cols = part.shape[0] // factor, part.shape[1] // factor
    if min(rows, cols) < 2:  # almost nothing of the face is in the picture
        return image, matrix
    part = part[: rows * factor, : cols * factor]
    small = np.asarray(cv2.resize(part, (cols, rows), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    to_picture = np.array([[factor, 0, x0], [0, factor, y0], [0, 0, 1]], dtype=np.float64)
    return small, (np.vstack([matrix, [0, 0, 1]]) @ to_picture)[:2]
