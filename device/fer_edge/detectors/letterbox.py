"""A square of a picture in the size of a network's input: halved while it is twice too large, then scaled once.

Halves by 2 x 2 means are a tenth of the time of an area mean by another factor, and all looks at a picture share them.
They cost small faces: of the 29 in a group photo of 1927 two were lost. So a search in tiles, which is for small faces,
takes the area mean of the picture itself (``Halves`` of ``most`` 0).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.types import RgbImage

PAD_VALUE = 0  # of what lies outside the picture (MediaPipe: BORDER_ZERO)


class Region(NamedTuple):
    """A square of the picture in px; it may reach beyond the picture's edges."""

    x: float
    y: float
    side: float


class Halves:
    """A picture and its halves, quarters, …; each is made when it is first asked for.

    Args:
        image: (h, w, 3) RGB uint8.
        most: how often it may be halved; 0 scales from the picture itself by an area mean. None: as often as fits.
    """

    def __init__(self, image: RgbImage, most: int | None = None) -> None:
        self._levels = [image]
        self._most = most

    @property
    def exact(self) -> bool:
        """Whether regions are scaled from the picture itself."""
        return self._most == 0

    @property
    def image(self) -> RgbImage:
        """The picture itself."""
        return self._levels[0]

    def level(self, number: int) -> RgbImage:
        """The picture halved ``number`` times; an odd last row or column goes, so that px k is at k * 2**number."""
        while len(self._levels) <= number:
            self._levels.append(halved(self._levels[-1]))
        return self._levels[number]

    def part(self, region: Region, input_px: int) -> tuple[RgbImage, Region, int]:
        """What to cut a region from.

        Returns:
            A picture, the region snapped to its whole px, and the px of the full picture in one of its px.
        """
        number, most = 0, math.inf if self._most is None else self._most
        while (
            number < most
            and region.side / 2 ** (number + 1) >= input_px
            and min(self.image.shape[:2]) >= 2 ** (number + 1)
        ):
            number += 1
        step = 2**number
        snapped = Region(round(region.x / step), round(region.y / step), max(1, round(region.side / step)))
        return self.level(number), snapped, step


def halved(image: RgbImage) -> RgbImage:
    """Means of 2 x 2 px."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    even = image[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def fill(canvas: NDArray[np.uint8], picture: Halves, region: Region) -> Region:
    """Draws a region into a square canvas, black outside the picture.

    Args:
        canvas: (side, side, 3) uint8, overwritten.
        picture: what is looked at.
        region: in px of the picture.

    Returns:
        The region that the canvas really shows: snapped to whole px of what it was cut from.
    """
    side_px = len(canvas)
    image, shown, step = picture.part(region, side_px)
    height, width = image.shape[:2]
    x, y, side = (int(value) for value in shown)
    method = cv2.INTER_AREA if picture.exact and side > side_px else cv2.INTER_LINEAR
    x0, y0, x1, y1 = max(0, x), max(0, y), min(width, x + side), min(height, y + side)
    result = Region(float(x * step), float(y * step), float(side * step))
    if (x0, y0, x1, y1) == (x, y, x + side, y + side):
        cv2.resize(image[y0:y1, x0:x1], (side_px, side_px), dst=canvas, interpolation=method)
        return result
    canvas[:] = PAD_VALUE
    if x1 > x0 and y1 > y0:
        scale = side_px / side
        left, top = round((x0 - x) * scale), round((y0 - y) * scale)
        right, bottom = max(left + 1, round((x1 - x) * scale)), max(top + 1, round((y1 - y) * scale))
        left, top, right, bottom = (min(max(v, 0), side_px) for v in (left, top, right, bottom))
        if right > left and bottom > top:
            canvas[top:bottom, left:right] = cv2.resize(
                image[y0:y1, x0:x1], (right - left, bottom - top), interpolation=method
            )
    return result


def whole_region(image: RgbImage, border: float = 0.0) -> Region:
    """The square around the whole picture with a margin of ``border`` times the longer side."""
    height, width = image.shape[:2]
    side = max(height, width) * (1 + 2 * border)
    return Region((width - side) / 2, (height - side) / 2, side)


def square_around(box: tuple[float, float, float, float], factor: float) -> Region:
    """The square with ``factor`` times the longer side of a box (corners x0, y0, x1, y1 in px), centered."""
    x0, y0, x1, y1 = box
    side = max(x1 - x0, y1 - y0) * factor
    return Region((x0 + x1 - side) / 2, (y0 + y1 - side) / 2, side)
