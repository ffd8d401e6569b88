"""What is written for speed gives the bits of the plain formula: golden vectors and trained networks rest on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fer_edge.contract.preprocess import preprocess, resize
from fer_edge.contract.quantization import dequantize, quantize
from fer_edge.contract.specs import InputSpec, TensorSpec

SIZES = ((96, 96), (48, 48), (64, 80))
NORMALIZE = (None, "fixed", "standardize", "stretch")
COLORS = {
    "gray": ((0.4,), (0.25,)),
    "gray3": ((0.4, 0.4, 0.4), (0.25, 0.25, 0.25)),
    "gray3 by channel": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "rgb": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "rgb alike": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


def spec_of(color: str, normalize: Any) -> InputSpec:
    mean, std = COLORS[color]
    return InputSpec(color.split()[0], 48, "bilinear", mean, std, normalize)  # type: ignore[arg-type]


def plainly(crop: np.ndarray, spec: InputSpec, size_hw: tuple[int, int]) -> np.ndarray:
    """Each step as the docstrings say it, an array at a time."""
    image = crop.astype(np.float32)
    if image.ndim == 2 and spec.color == "rgb":
        image = np.repeat(image[:, :, None], 3, axis=2)
    elif image.ndim == 3 and spec.color != "rgb":
        image = image @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    if min(image.shape[:2]) > spec.source_px:
        image = resize(image, (spec.source_px, spec.source_px), "area")
    image = resize(image, size_hw, spec.interpolation) / np.float32(255)
    flat = image.reshape(1, -1)
    if spec.normalize == "standardize":
        centered = flat - flat.mean(axis=1, keepdims=True)
        deviation = np.sqrt(np.square(centered).mean(axis=1, keepdims=True))
        flat = centered / (deviation + np.float32(0.02))
    elif spec.normalize == "stretch":
        low, high = np.percentile(flat, (1, 99), axis=1).astype(np.float32)[:, :, None]
        flat = np.clip((flat - low) / np.maximum(high - low, np.float32(0.02)), 0, 1)
    image = flat.astype(np.float32).reshape(image.shape)
    planes = [image if image.ndim == 2 else image[:, :, c] for c in range(spec.channels)]
    return np.stack(
        [(p - np.float32(m)) / np.float32(s) for p, m, s in zip(planes, spec.mean, spec.std, strict=True)], 2
    )


@pytest.mark.parametrize("normalize", NORMALIZE)
@pytest.mark.parametrize("color", COLORS)
def test_preprocess(color: str, normalize: str | None) -> None:
    rng, spec = np.random.default_rng(3), spec_of(color, normalize)
    for side in (40, 96, 101):
        for crop in (
            rng.integers(0, 256, (side, side, 3)),
            rng.integers(60, 64, (side, side)),
            np.full((side, side), 7),
        ):
            kept = crop = crop.astype(np.uint8)
            for size in SIZES:
                expected = plainly(crop, spec, size)
                for shared in (False, True):
                    found = preprocess(crop, spec, size, shared)
                    assert found.dtype == np.float32
                    np.testing.assert_array_equal(found.view(), expected)
                assert preprocess(crop, spec, size).flags.c_contiguous
                assert preprocess(crop, spec, size).flags.writeable
            np.testing.assert_array_equal(crop, kept)


@pytest.mark.parametrize(("scale", "zero_point"), [(0.0346, -5), (0.5, 127)])
def test_quantize(scale: float, zero_point: int) -> None:
    """Halves, and what lies beyond the grid, among them; the input stays as it was."""
    spec = TensorSpec("x", (1, 8, 8, 3), "int8", scale, zero_point)
    rng = np.random.default_rng(4)
    values = np.concatenate([rng.normal(0, 3, 3 * 64), 0.5 * rng.integers(-400, 400, 3 * 64)]).astype(np.float32)
    values = values.reshape(2, 8, 8, 3)
    kept = values.copy()
    stored = np.rint(values / np.float32(spec.scale)) + spec.zero_point
    expected = np.asarray(np.clip(stored, -128, 127), dtype=np.int8)
    found = quantize(values, spec)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(values, kept)
    one = np.broadcast_to(values[..., :1], values.shape)
    found = quantize(one, spec)
    np.testing.assert_array_equal(found, np.repeat(expected[..., :1], 3, axis=3))
    assert found.flags.c_contiguous
    back = (found.astype(np.float32) - np.float32(spec.zero_point)) * np.float32(spec.scale)
    np.testing.assert_array_equal(dequantize(found, spec), back)


def test_channels_that_are_one_in_memory_are_read_only() -> None:
    found = preprocess(np.full((96, 96, 3), 9, np.uint8), spec_of("gray3", None), (96, 96), shared=True)
    assert found.strides[-1] == 0
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0, 0] = 1
    by_channel = preprocess(np.full((96, 96, 3), 9, np.uint8), spec_of("gray3 by channel", None), (96, 96), shared=True)
    assert by_channel.strides[-1] != 0
