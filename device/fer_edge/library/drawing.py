"""Pictures of readings, in the order of channels that the program has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_edge.errors import ImageError
from fer_edge.library.arrays import Order
from fer_edge.library.pictures import Picture, upright
from fer_edge.library.reading import Reading, inner_of
from fer_edge.pictures.annotate import annotate as draw
from fer_edge.pictures.annotate import blur_faces
from fer_edge.types import RgbImage


def annotate(
    picture: Picture | None, reading: Reading, *, order: Order = "rgb", blur: bool = False
) -> NDArray[np.uint8]:
    """A copy of the picture with a box, "label 97%" and the landmarks of every face.

    Args:
        picture: that was read: a path, the bytes of a file, an array or a Frame; ``reading.image`` in ``follow``.
        reading: of it.
        order: of an array's channels, and of the result's.
        blur: make all faces unrecognizable, and leave the landmarks out, which would draw them anew.

    Returns:
        (height, width, 3) uint8, upright, in that order.

    Raises:
        ImageError: it cannot be read, or is no picture.
    """
    image, inner = _whole(picture, reading, order), inner_of(reading)
    if blur:
        image = blur_faces(image, inner.all_faces_of_original())
    return _ordered(draw(image, inner.faces_of_original(), blur), order)


def blur(picture: Picture | None, reading: Reading, *, order: Order = "rgb") -> NDArray[np.uint8]:
    """A copy of the picture in which nobody can be recognized by the face, those that were not read included.

    Args:
        picture: as in ``annotate``.
        reading: of it.
        order: as in ``annotate``.

    Returns:
        (height, width, 3) uint8, upright, in that order.

    Raises:
        ImageError: it cannot be read, or is no picture.
    """
    return _ordered(blur_faces(_whole(picture, reading, order), inner_of(reading).all_faces_of_original()), order)


def _whole(picture: Picture | None, reading: Reading, order: Order) -> RgbImage:
    if picture is None:
        raise ImageError("picture: found None; expected the one that was read (reading.image is only there in follow)")
    image = upright(picture, order)
    if image.shape[:2] != (reading.height, reading.width):
        raise ImageError(
            f"picture: {image.shape[1]} x {image.shape[0]} px, the reading is of {reading.width} x {reading.height}; "
            "expected the picture that was read"
        )
    return image


def _ordered(image: RgbImage, order: Order) -> NDArray[np.uint8]:
    return np.ascontiguousarray(image[:, :, ::-1]) if order == "bgr" else image
