"""What BlazeFace sees of pictures with faces: the inputs that its activation ranges are measured on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_host.device_pipeline import BLAZEFACES, FaceBox, Halves, Region, RgbImage, fill, square_around, whole_region

Box = tuple[float, float, float, float]  # x0, y0, x1, y1


class Look(NamedTuple):
    """One input of a network.

    Attributes:
        picture: (side, side, 3) RGB uint8, of the network's own size.
        face: where the face is in it, in px.
    """

    picture: NDArray[np.uint8]
    face: Box


def looks_at(network: str, image: RgbImage, faces: list[FaceBox]) -> Iterator[Look]:
    """Every face in both looks of the network of this name: at the whole picture, and at the face.

    Args:
        network: ``blazeface_short`` or ``blazeface_full``.
        image: (h, w, 3) RGB uint8.
        faces: that are in it.
    """
    spec = BLAZEFACES[network]
    for face in faces:
        x, y, width, height = face.box
        box = (x, y, x + width, y + height)
        for region in (whole_region(image), square_around(box, spec.second_look)):
            yield _look(image, region, box, spec.input_px)


def _look(image: RgbImage, region: Region, box: Box, side: int) -> Look:
    canvas = np.zeros((side, side, 3), dtype=np.uint8)
    shown = fill(canvas, Halves(image), region)
    scale = side / shown.side
    x0, y0, x1, y1 = box
    left, top = (x0 - shown.x) * scale, (y0 - shown.y) * scale
    return Look(canvas, (left, top, left + (x1 - x0) * scale, top + (y1 - y0) * scale))
