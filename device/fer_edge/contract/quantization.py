"""A tensor's stored numbers and the real ones they stand for: the arithmetic of every network input and output."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.specs import TensorSpec


def quantize(values: NDArray[np.float32], spec: TensorSpec) -> NDArray[Any]:
    """round(value / scale) + zero_point, half to even, clipped to int8; float32 passes unchanged."""
    if spec.dtype == "float32":
        return values.astype(np.float32, copy=False)
    if values.ndim and values.strides[-1] == 0 and values.shape[-1] > 1:  # the channels are one, see ``preprocess``
        one, every = quantize(values[..., :1], spec)[..., 0], np.empty(values.shape, np.int8)
        for channel in range(values.shape[-1]):
            every[..., channel] = one
        return every
    stored = np.asarray(values / np.float32(spec.scale))
    np.rint(stored, out=stored)
    stored += spec.zero_point
    return np.clip(stored, -128, 127, out=stored).astype(np.int8)


def dequantize(values: NDArray[Any], spec: TensorSpec) -> NDArray[np.float32]:
    """(stored - zero_point) * scale; float32 passes unchanged."""
    if spec.dtype == "float32":
        return values.astype(np.float32, copy=False)
    return (values.astype(np.float32) - np.float32(spec.zero_point)) * np.float32(spec.scale)
