"""Ten crops of a face, whose probabilities some papers average; a device looks once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.preprocess import resize

N_CROPS = 10
ENLARGED = 9 / 8  # a 48 px face becomes 54 px, of which 48 px crops are cut


def ten_crops(image: NDArray[np.uint8], enlarged: float = ENLARGED) -> NDArray[np.uint8]:
    """Corners and center of the enlarged face, and their mirror images: (10, h, w[, 3]) of the image's own size.

    Cut at its own size from a face that is not enlarged, all five crops would be one and the same.

    Args:
        image: (h, w) gray or (h, w, 3) RGB, uint8.
        enlarged: factor before cutting, above 1.
    """
    height, width = image.shape[:2]
    big_h, big_w = round(height * enlarged), round(width * enlarged)
    if min(big_h - height, big_w - width) < 2:
        raise ValueError(f"ten crops: {enlarged} enlarges {height} x {width} px by less than 2 px; all would be one")
    big = resize(image.astype(np.float32), (big_h, big_w), "bilinear")
    pixels = np.clip(np.rint(big), 0, 255).astype(np.uint8)
    bottom, right = big_h - height, big_w - width
    places = ((0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2))
    crops = [pixels[y : y + height, x : x + width] for y, x in places]
    return np.stack([*crops, *(crop[:, ::-1] for crop in crops)])
