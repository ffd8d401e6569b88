"""A program's own arrays: what is taken as it is, what is mended, and one line for what is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fer_edge
from fer_edge.errors import ImageError
from fer_edge.library.arrays import as_crop, as_rgb

RGB = np.random.default_rng(3).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_rgb_is_taken_as_it_is_and_bgr_is_turned() -> None:
    assert as_rgb(RGB, "rgb") is RGB
    np.testing.assert_array_equal(as_rgb(RGB[:, :, ::-1], "bgr"), RGB)


@pytest.mark.parametrize("view", [RGB[::-1], RGB[:, ::2], RGB.transpose(1, 0, 2), np.asfortranarray(RGB)])
def test_strides_do_not_matter(view: np.ndarray[Any, Any]) -> None:
    found = as_rgb(view, "rgb")
    assert found.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(found, view)


@pytest.mark.parametrize(
    ("array", "order", "said"),
    [
        (RGB.astype(np.float32), "rgb", ["found float32, expected uint8", "255 * x"]),
        (RGB.astype(np.uint16), "rgb", ["found uint16, expected uint8"]),
        (RGB > 9, "rgb", ["found bool"]),
        (RGB[:, :, 0], "rgb", ["shape (20, 30)", "COLOR_GRAY2RGB"]),
        (RGB[:, :, :1], "rgb", ["shape (20, 30, 1)", "COLOR_GRAY2RGB"]),
        (np.dstack([RGB, RGB[:, :, :1]]), "bgr", ["shape (20, 30, 4)", "x[:, :, :3]"]),
        (RGB.transpose(2, 0, 1), "rgb", ["shape (3, 20, 30)", "transpose(1, 2, 0)"]),
        (RGB[None], "rgb", ["shape (1, 20, 30, 3)", "one picture at a time"]),
        (RGB[:0], "rgb", ["empty", "(0, 30, 3)"]),
        (RGB, "RGB", ["order is 'RGB'", '"bgr"']),
        (RGB.tolist(), "rgb", ["found list", "NumPy array"]),
        (None, "rgb", ["found None", "cv2.imread"]),
    ],
)
def test_what_is_no_picture(reader: fer_edge.Reader, array: Any, order: Any, said: list[str]) -> None:
    """Through ``read``; a frame of ``follow`` says which one it was."""
    with pytest.raises(ImageError) as error:
        reader.read(array, order=order)
    text = str(error.value)
    assert "\n" not in text
    assert [words for words in said if words not in text] == [], text
    if array is not None and not isinstance(array, list):
        with pytest.raises(ImageError, match=r"frame [01]: "):
            list(reader.follow([RGB, array], order=order))


def test_crops_may_be_gray_and_have_an_alpha_channel() -> None:
    assert as_crop(RGB[:, :, 0], "bgr", "crop").shape == (20, 30)
    assert as_crop(RGB[:, :, :1], "bgr", "crop").shape == (20, 30)
    np.testing.assert_array_equal(as_crop(np.dstack([RGB[:, :, ::-1], RGB[:, :, 0]]), "bgr", "crop"), RGB)
    with pytest.raises(ImageError, match=r"crops\[2\]: found the shape \(20, 30, 2\)"):
        as_crop(RGB[:, :, :2], "rgb", "crops[2]")


def test_a_frame_holds_rgb(reader: fer_edge.Reader) -> None:
    with pytest.raises(ImageError, match="a Frame holds RGB"):
        reader.read(fer_edge.Frame(RGB), order="bgr")
    with pytest.raises(ImageError, match="a Frame holds RGB"):
        next(iter(reader.follow([fer_edge.Frame(RGB)], order="bgr")))


@pytest.mark.parametrize(
    ("frames", "said"),
    [("v4l2:///dev/video0", "open_source"), (RGB, "one picture"), (object(), "found object"), (3, "found int")],
)
def test_what_gives_no_frames(reader: fer_edge.Reader, frames: Any, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        next(iter(reader.follow(frames)))
