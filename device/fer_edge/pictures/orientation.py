"""A picture as it is meant to be seen; apart from the readers of files, which clips and cameras do without."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def apply_orientation(image: Pixels, code: int) -> Pixels:
    """A stored picture (h, w, ...) as it is meant to be seen.

    Args:
        image: as stored.
        code: EXIF orientation 1 to 8 (CIPA DC-008, tag 0x0112): where the 0th row and 0th column are to be seen.
    """
    if code >= 5:  # stored on its side: 5 transpose, 6 turn right, 7 transverse, 8 turn left
        image = image.swapaxes(0, 1)
    if code in (2, 3, 6, 7):
        image = image[:, ::-1]
    if code in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)
