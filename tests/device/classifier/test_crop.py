"""The crop: landmarks land on the template, and nothing aliases."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from device_helpers import ALIGN
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.classifier.crop import crop_face
from fer_edge.contract.align import crop_similarity
from fer_edge.errors import LandmarkError
from fer_edge.types import Point, RgbImage

NAMES = ALIGN.landmarks


def placed(scale: float, angle: float, x: float, y: float) -> dict[str, Point]:
    """The template's landmarks in a picture: crop px times ``scale``, turned by ``angle`` rad, centered on x, y."""
    points = np.array(ALIGN.template) - 48
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = points @ turn.T + (x, y)
    return {name: (float(px), float(py)) for name, (px, py) in zip(NAMES, moved, strict=True)}


def dot(image: RgbImage, point: Point, sigma: float) -> None:
    """A soft white dot centered on ``point`` (pixel centers at .5), in place."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    blob = 255 * np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * sigma**2))
    np.maximum(image, blob[:, :, None].astype(np.uint8), out=image)


@settings(deadline=None, max_examples=40)
@given(
    st.floats(0.5, 8).map(lambda v: round(v, 2)),
    st.floats(-3.1, 3.1),
    st.floats(280, 320),
    st.floats(280, 320),
    st.integers(0, 3),
)
def test_landmarks_land_on_the_template(scale: float, angle: float, x: float, y: float, which: int) -> None:
    landmarks = placed(scale, angle, x, y)
    image = np.zeros((700, 700, 3), dtype=np.uint8)  # no dot reaches its edge
    dot(image, landmarks[NAMES[which]], 3 * max(scale, 0.7))
    crop = crop_face(image, landmarks, ALIGN)[:, :, 0].astype(float)
    assert crop.shape == (96, 96)
    rows, cols = np.mgrid[:96, :96] + 0.5
    center = ((cols * crop).sum() / crop.sum(), (rows * crop).sum() / crop.sum())
    assert center == pytest.approx(ALIGN.template[which], abs=0.35)


def test_a_crop_in_place_is_the_picture_itself() -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    crop = crop_face(image, dict(zip(NAMES, ALIGN.template, strict=True)), ALIGN)
    np.testing.assert_array_equal(crop, image)


@pytest.mark.parametrize("scale", [2.01, 2.2, 2.5, 2.7, 3.0, 4.0, 5.5, 8.0])
def test_fine_detail_does_not_alias(scale: float) -> None:
    """Stripes of 2 px are finer than a crop px of a large face shows: they must average out, not turn into waves."""
    side = int(96 * scale) + 40
    image = np.zeros((side, side, 3), dtype=np.uint8)
    image[:, ::2] = 255
    crop = crop_face(image, placed(scale, 0.1, side / 2, side / 2), ALIGN).astype(float)
    smooth = cv2.GaussianBlur(crop, (0, 0), 2)[8:-8, 8:-8]
    assert abs(crop.mean() - 127.5) < 4
    assert np.ptp(smooth) < 40


def test_outside_the_picture_the_edge_repeats() -> None:
    image = np.full((50, 50, 3), 77, dtype=np.uint8)
    for x, y in ((0, 0), (50, 25), (-60, 25), (25, 400)):
        for scale in (0.5, 1.0, 4.0):
            assert (crop_face(image, placed(scale, 0.3, x, y), ALIGN) == 77).all()


def test_channels_stay_in_order() -> None:
    image = np.zeros((300, 300, 3), dtype=np.uint8)
    image[:] = (10, 120, 230)
    for scale in (1.0, 4.0):
        assert (crop_face(image, placed(scale, 0, 150, 150), ALIGN) == (10, 120, 230)).all()


def test_landmarks_that_give_no_crop() -> None:
    image = np.zeros((50, 50, 3), dtype=np.uint8)
    with pytest.raises(LandmarkError, match="lacks mouth"):
        crop_face(image, {name: (1.0, 2.0) for name in NAMES if name != "mouth"}, ALIGN)
    with pytest.raises(LandmarkError, match="one point"):
        crop_face(image, {name: (1.0, 2.0) for name in NAMES}, ALIGN)


def test_the_matrix_is_the_contract_s() -> None:
    a, b = crop_similarity(placed(2.0, 0.0, 100, 100), ALIGN)
    assert a * (100 + 100j) + b == pytest.approx(48 + 48j)
