from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.contract import codec
from fer_edge.contract.preprocess import normalize_light, preprocess, resize, softmax
from fer_edge.contract.specs import InputSpec, Normalize

SPEC = InputSpec("gray3", 48, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
cv2 = pytest.importorskip("cv2")


@pytest.mark.parametrize(("source", "target"), [(48, 96), (48, 64), (96, 112), (48, 48), (37, 96)])
def test_enlarging_is_opencv_bilinear(source: int, target: int) -> None:
    image = np.random.default_rng(1).uniform(0, 255, (source, source)).astype(np.float32)
    expected = cv2.resize(image, (target, target), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(resize(image, (target, target), "bilinear"), expected, atol=1e-3)


@pytest.mark.parametrize(("source", "target"), [(96, 48), (200, 48), (131, 48), (49, 48)])
def test_reducing_is_opencv_area(source: int, target: int) -> None:
    image = np.random.default_rng(1).uniform(0, 255, (source, source)).astype(np.float32)
    expected = cv2.resize(image, (target, target), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(resize(image, (target, target), "area"), expected, atol=1e-2)


@given(st.integers(8, 200), st.integers(8, 200), st.sampled_from(["area", "bilinear"]))
def test_a_flat_picture_stays_flat(source: int, target: int, method: str) -> None:
    flat = np.full((source, source), 77, dtype=np.float32)
    np.testing.assert_allclose(resize(flat, (target, target), method), 77, rtol=1e-5)


def test_gray_and_its_rgb_copy_give_the_same_input() -> None:
    gray = np.random.default_rng(2).integers(0, 256, (48, 48), dtype=np.uint8)
    rgb = np.repeat(gray[:, :, None], 3, axis=2)
    for color in ("gray3", "rgb"):
        spec = replace(SPEC, color=color)
        np.testing.assert_allclose(preprocess(gray, spec, (96, 96)), preprocess(rgb, spec, (96, 96)), atol=1e-4)


def test_channels_are_red_green_blue() -> None:
    red = np.zeros((48, 48, 3), dtype=np.uint8)
    red[:, :, 0] = 255
    out = preprocess(red, replace(SPEC, color="rgb"), (48, 48))
    np.testing.assert_allclose(out[0, 0], [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-5)
    gray = preprocess(red, SPEC, (48, 48))
    np.testing.assert_allclose(gray[0, 0, 0], (0.299 - 0.485) / 0.229, rtol=1e-5)


def test_a_sharp_crop_carries_no_more_detail_than_source_px() -> None:
    fine = np.indices((192, 192)).sum(axis=0) % 2 * 255  # one-pixel checkerboard
    out = preprocess(fine.astype(np.uint8), SPEC, (96, 96))
    assert out.shape == (96, 96, 3)
    assert out.dtype == np.float32
    assert np.ptp(out[:, :, 0]) < 1e-4


def test_softmax_survives_large_logits() -> None:
    np.testing.assert_allclose(
        softmax(np.array([[1000.0, 1000.0], [-1e4, 0.0]], dtype=np.float32)), [[0.5, 0.5], [0, 1]]
    )


def test_halving_is_to_the_bit_what_its_matrices_give() -> None:
    from fer_edge.contract.preprocess import _weights

    rng = np.random.default_rng(3)
    for shape in ((96, 96), (64, 128), (96, 48, 3)):
        image = rng.uniform(0, 255, shape).astype(np.float32)
        target = shape[0] // 2, shape[1] // 2
        rows, cols = _weights(shape[0], target[0], "area"), _weights(shape[1], target[1], "area")
        planes = [rows @ plane @ cols.T for plane in np.moveaxis(np.atleast_3d(image), 2, 0)]
        expected = planes[0] if image.ndim == 2 else np.stack(planes, axis=2)
        np.testing.assert_array_equal(resize(image, target, "area"), expected)


@given(st.floats(0.1, 1.0), st.floats(0.0, 0.3), st.sampled_from(["standardize", "stretch"]))
def test_a_crop_is_read_alike_in_any_light(gain: float, veil: float, how: Normalize) -> None:
    crop = np.random.default_rng(3).uniform(0.1, 0.7, (1, 48, 48)).astype(np.float32)
    expected = normalize_light(crop, how)
    found = normalize_light((crop * gain + veil).astype(np.float32), how)
    assert np.abs(expected).max() > 0.9
    # the 0.02 added to a deviation of 0.17 times the gain moves a dim crop's values a little towards zero
    shrunk = 1 if how == "stretch" else (crop.std() + 0.02) / (crop.std() + 0.02 / gain)
    np.testing.assert_allclose(found, expected * shrunk, atol=2e-3)


@pytest.mark.parametrize("how", ["standardize", "stretch"])
def test_a_crop_without_contrast_stays_finite(how: Normalize) -> None:
    assert np.abs(normalize_light(np.full((2, 8, 8), 0.3, dtype=np.float32), how)).max() < 1e-4


def test_standardized_by_the_formula_and_all_colors_together() -> None:
    crop = np.random.default_rng(4).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    spec = InputSpec("rgb", 48, "bilinear", (0.0,) * 3, (1.0,) * 3, "standardize")
    value = crop / 255
    np.testing.assert_allclose(
        preprocess(crop, spec, (48, 48)), (value - value.mean()) / (value.std() + 0.02), atol=1e-4
    )


def test_crops_are_normalized_one_by_one() -> None:
    crops = np.random.default_rng(5).uniform(0, 1, (3, 16, 16)).astype(np.float32)
    for how in ("standardize", "stretch"):
        alone = np.concatenate([normalize_light(crop[None], how) for crop in crops])
        np.testing.assert_allclose(normalize_light(crops, how), alone, atol=1e-6)


def test_fixed_is_nothing_and_is_not_written() -> None:
    crop = np.random.default_rng(6).integers(0, 256, (48, 48), dtype=np.uint8)
    np.testing.assert_array_equal(
        preprocess(crop, replace(SPEC, normalize="fixed"), (48, 48)), preprocess(crop, SPEC, (48, 48))
    )
    assert "normalize" not in codec.encode(SPEC)
    assert codec.decode(InputSpec, codec.encode(replace(SPEC, normalize="stretch")), "input").normalize == "stretch"
