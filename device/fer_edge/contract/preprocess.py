"""From an aligned crop to the network's input: the one preprocess of training evaluation, calibration and device."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.specs import InputSpec, Normalize

_FLOOR = np.float32(0.02)  # of 0..1: what a crop without contrast is divided by, about five steps of 8 bits
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601


def preprocess(
    crop: NDArray[np.uint8], spec: InputSpec, size_hw: tuple[int, int], shared: bool = False
) -> NDArray[np.float32]:
    """Colour, reduction to ``source_px``, enlargement to the network's size, normalization.

    Args:
        crop: (h, w) gray or (h, w, 3) RGB, uint8.
        spec: the manifest's ``input``.
        size_hw: (height, width) of the network's input in px.
        shared: channels that are the same may be one in memory, which then is read only: ``quantize`` computes one.

    Returns:
        (height, width, channels) float32, normalized: (value - mean) / std, where value is the pixel / 255 after
        ``normalize_light``.
    """
    image = crop.astype(np.float32)
    if image.ndim == 2 and spec.color == "rgb":
        image = np.repeat(image[:, :, None], 3, axis=2)
    elif image.ndim == 3 and spec.color != "rgb":
        image = image @ _LUMA
    height, width = image.shape[:2]
    if min(height, width) > spec.source_px:
        image = resize(image, (spec.source_px, spec.source_px), "area")
    image = resize(image, size_hw, spec.interpolation)
    image /= np.float32(255)
    image = normalize_light(image[None], spec.normalize)[0]
    if image.ndim == 2 and len(set(spec.mean)) == len(set(spec.std)) == 1:
        plane = _normalized(image, spec, 0)
        if shared:
            return _repeated(plane, spec.channels)
        planes = [plane] * spec.channels
    else:
        planes = [_normalized(image if image.ndim == 2 else image[:, :, c], spec, c) for c in range(spec.channels)]
    normalized = np.empty((*size_hw, spec.channels), dtype=np.float32)
    for c, plane in enumerate(planes):  # three times as fast as broadcasting along a short last axis
        normalized[:, :, c] = plane
    return normalized


def _normalized(plane: NDArray[np.float32], spec: InputSpec, channel: int) -> NDArray[np.float32]:
    result = plane - np.float32(spec.mean[channel])
    result /= np.float32(spec.std[channel])
    return result


def _repeated(plane: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """(h, w) -> (h, w, channels), read only, the channels all in the same place; a tenth of ``broadcast_to``'s time."""
    view: NDArray[np.float32] = np.ndarray((*plane.shape, channels), np.float32, plane, 0, (*plane.strides, 0))
    view.flags.writeable = False
    return view


def normalize_light(crops: NDArray[np.float32], how: Normalize | None) -> NDArray[np.float32]:
    """Each crop by its own light, so that dim and bright pictures of a face become one.

    "standardize" is (value - mean) / (standard deviation + 0.02); "stretch" takes the 1st percentile to 0 and the 99th
    to 1 (at least 0.02 apart) and cuts what lies beyond.

    Args:
        crops: (N, ...) float32 in 0..1; all axes but the first are one crop's, colors included.
        how: the manifest's ``input.normalize``.

    Returns:
        The same shape; the array itself where nothing is to be done.
    """
    if how is None or how == "fixed":
        return crops
    flat = crops.reshape(len(crops), -1)
    if how == "standardize":
        result = flat - _means(flat)
        result /= np.sqrt(_means(np.square(result))) + _FLOOR
    else:
        low, high = np.percentile(flat, (1, 99), axis=1).astype(np.float32)[:, :, None]
        result = np.clip((flat - low) / np.maximum(high - low, _FLOOR), 0, 1)
    return np.asarray(result, dtype=np.float32).reshape(crops.shape)


def _means(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 1): to the bit what ``mean`` gives, without what that asks first."""
    return np.asarray(np.add.reduce(rows, axis=1, keepdims=True) / np.float32(rows.shape[1]))


def resize(image: NDArray[np.float32], size_hw: tuple[int, int], method: str) -> NDArray[np.float32]:
    """Separable resampling of (h, w) or (h, w, c) float32: "area" (mean of what a pixel covers) or "bilinear"."""
    if image.shape[:2] == size_hw:
        return image
    if method == "area" and image.shape[:2] == (2 * size_hw[0], 2 * size_hw[1]):
        pairs = image[0::2] + image[1::2]  # to the bit what the matrices below give: halves and quarters are exact
        return np.asarray((pairs[:, 0::2] + pairs[:, 1::2]) * np.float32(0.25), dtype=np.float32)
    rows = _weights(image.shape[0], size_hw[0], method)
    cols = _weights(image.shape[1], size_hw[1], method)
    if image.ndim == 2:
        return np.asarray(rows @ image @ cols.T, dtype=np.float32)
    planes = [rows @ image[:, :, c] @ cols.T for c in range(image.shape[2])]
    return np.stack(planes, axis=2)


@functools.lru_cache(maxsize=64)
def _weights(n_in: int, n_out: int, method: str) -> NDArray[np.float32]:
    """(n_out, n_in) resampling matrix with half-pixel centers; every row sums to 1."""
    step = n_in / n_out
    if method == "area" and step > 1:
        left = np.arange(n_out)[:, None] * step
        pixel = np.arange(n_in)[None, :]
        overlap = np.minimum(left + step, pixel + 1) - np.maximum(left, pixel)
        return np.asarray(np.clip(overlap, 0, None) / step, dtype=np.float32)
    center = np.clip((np.arange(n_out) + 0.5) * step - 0.5, 0, n_in - 1)
    low = np.minimum(np.floor(center).astype(np.int64), max(0, n_in - 2))
    part = center - low
    matrix = np.zeros((n_out, n_in))
    matrix[np.arange(n_out), low] += 1 - part
    matrix[np.arange(n_out), np.minimum(low + 1, n_in - 1)] += part
    return matrix.astype(np.float32)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities along the last axis."""
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=-1, keepdims=True), dtype=np.float32)
