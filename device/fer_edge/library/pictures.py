"""Whatever a program calls a picture, made ready by the same function as ``fer-edge image`` makes a photo."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fer_edge.errors import ImageError
from fer_edge.library.arrays import Order, as_rgb, check_order
from fer_edge.pictures.photo import Photo, decode_photo, prepare, read_photo
from fer_edge.types import Frame, RgbImage

Picture: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | NDArray[Any] | Frame"


def is_path(picture: Picture) -> bool:
    """Whether it names a file."""
    return isinstance(picture, str | os.PathLike)


def prepared(picture: Picture, order: Order, index: int = 0) -> Frame:
    """The picture as the pipeline takes a photo, upright and scaled down where it is large.

    Args:
        picture: a path, a file's content, an array or a frame.
        order: of an array's channels.
        index: of the frame; a frame keeps its own.

    Raises:
        ImageError: not a picture, or an array that is none; one line that says what is expected.
    """
    if isinstance(picture, Frame):
        _check_frame(order)
        if picture.scale != 1:  # a photo of a folder, which is prepared already
            return dataclasses.replace(picture, image=as_rgb(picture.image, "rgb", "frame"))
        photo = prepare(as_rgb(picture.image, "rgb", "frame"))
        return dataclasses.replace(picture, image=photo.image, scale=photo.scale, original_hw=photo.original_hw)
    photo, name = _photo(picture, order, keep_original=False)
    return photo.frame(index, name)


def upright(picture: Picture, order: Order) -> RgbImage:
    """The whole picture in RGB, upright and in full size: what readings are in px of.

    Raises:
        ImageError: as ``prepared``.
    """
    if isinstance(picture, Frame):
        _check_frame(order)
        return as_rgb(picture.image, "rgb", "frame")
    if isinstance(picture, np.ndarray):
        return as_rgb(picture, order)
    photo, _ = _photo(picture, order, keep_original=True)
    return photo.image if photo.original is None else photo.original


def _photo(picture: object, order: Order, keep_original: bool) -> tuple[Photo, str]:
    if isinstance(picture, str | os.PathLike):
        path = Path(picture)
        return read_photo(path, keep_original=keep_original, take_damaged=True), str(path)
    if isinstance(picture, bytes | bytearray | memoryview):
        return decode_photo(bytes(picture), "bytes", keep_original=keep_original, take_damaged=True), "bytes"
    if isinstance(picture, np.ndarray):
        return prepare(as_rgb(picture, order)), "array"
    check_order(order, "picture")
    found = "None: did the camera or cv2.imread give none?" if picture is None else type(picture).__name__
    raise ImageError(f"picture: found {found}; expected a path, the bytes of a file, a NumPy array or a Frame")


def _check_frame(order: Order) -> None:
    check_order(order, "frame")
    if order != "rgb":
        raise ImageError('frame: a Frame holds RGB; expected order="rgb", or the array itself with order="bgr"')
