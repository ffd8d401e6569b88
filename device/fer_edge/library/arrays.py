"""A program's own pixels: checked once, where they come in, and as RGB from there on."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fer_edge.errors import ImageError
from fer_edge.types import RgbImage

Order = Literal["rgb", "bgr"]
ORDERS = ("rgb", "bgr")
_OPENCV = 'OpenCV\'s arrays are BGR: order="bgr"'
_DEPTH = {
    "f": "scale it to 0..255 first: (255 * x).round().astype(np.uint8) where x is 0..1",
    "b": "a mask is no picture",
}


def as_rgb(array: NDArray[Any], order: Order, what: str = "array") -> RgbImage:
    """The picture as contiguous RGB; the array itself where it is that already, never written to.

    Args:
        array: (height, width, 3) uint8, any strides.
        order: of its channels.
        what: names it in messages.

    Raises:
        ImageError: of another type, shape or order; says what was found, what is expected and how to get there.
    """
    check_order(order, what)
    _check_pixels(array, what)
    if array.ndim != 3 or array.shape[2] != 3:
        raise ImageError(f"{what}: {_shape(array)}, expected (height, width, 3); {_channels(array)}")
    return np.ascontiguousarray(array[:, :, ::-1] if order == "bgr" else array)


def as_crop(array: NDArray[Any], order: Order, what: str) -> NDArray[np.uint8]:
    """A face that is cut out already: (h, w, 3) RGB, or (h, w) gray; an alpha channel is left out.

    Raises:
        ImageError: not uint8, empty, or of another shape.
    """
    check_order(order, what)
    _check_pixels(array, what)
    channels = 1 if array.ndim == 2 else array.shape[2] if array.ndim == 3 else 0
    if channels not in (1, 3, 4):
        raise ImageError(f"{what}: {_shape(array)}, expected (h, w) gray, (h, w, 3) or (h, w, 4)")
    if channels == 1:
        return np.ascontiguousarray(array.reshape(array.shape[:2]))
    return as_rgb(array[:, :, :3], order, what)


def check_order(order: str, what: str) -> None:
    """Refuses what is no order of channels.

    Raises:
        ImageError: neither "rgb" nor "bgr".
    """
    if order not in ORDERS:
        raise ImageError(f'{what}: order is {order!r}, expected "rgb" or "bgr"; {_OPENCV}')


def _check_pixels(array: object, what: str) -> None:
    if not isinstance(array, np.ndarray):
        raise ImageError(f"{what}: found {type(array).__name__}, expected a NumPy array of uint8; {_OPENCV}")
    if array.dtype != np.uint8:
        remedy = _DEPTH.get(array.dtype.kind, "convert it with .astype(np.uint8) where its values are 0..255")
        raise ImageError(f"{what}: found {array.dtype}, expected uint8 (0..255); {remedy}")
    if array.size == 0:
        raise ImageError(f"{what}: empty, {_shape(array)}; expected a picture: did the camera or cv2.imread give none?")


def _shape(array: NDArray[Any]) -> str:
    return f"found the shape {tuple(array.shape)}"


def _channels(array: NDArray[Any]) -> str:
    if array.ndim == 2 or array.shape[-1] == 1:
        return "of a gray picture make three channels: cv2.cvtColor(x, cv2.COLOR_GRAY2RGB)"
    if array.ndim == 3 and array.shape[2] == 4:
        return "leave the alpha channel out: x[:, :, :3]"
    if array.ndim == 3 and array.shape[0] == 3:
        return "channels come last: x.transpose(1, 2, 0)"
    return f"one picture at a time; {_OPENCV}"
