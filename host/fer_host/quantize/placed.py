"""Where the layers of a tuned network are in its tflite file.

Conversion loses a layer's name. It is found again once, in the float file, by the values of its weights
(``find_layers``). From there on operators are counted: quantizing keeps the order of those that hold weights, so the
k-th of the int8 file is the k-th of the float file (``place_layers``, which compares every weight).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.bits1 import Region
from fer_host.errors import GateError
from fer_host.quantize.grids import LayerGrid
from fer_host.tflite.constants import constant_offsets, read_constants
from fer_host.tflite.inspection import OpInfo, TfliteInfo, inspect_tflite

OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
DEPTHWISE = "DEPTHWISE_CONV_2D"
Rows = NDArray[Any]  # (C, weights of a channel), in the order kernel row, kernel column, input channel


@dataclass(frozen=True)
class FoundLayer:
    """A layer of the network in the float file.

    Attributes:
        layer: its name in the network.
        operator: index of the operator that computes it.
        type: of that operator.
        grid: its steps and widths.
        integers: its weights' integers in the operator's layout; a window of them where a kernel comes in bands.
    """

    layer: str
    operator: int
    type: str
    grid: LayerGrid
    integers: NDArray[np.int8]


@dataclass(frozen=True)
class PlacedLayer:
    """A layer of the network in the int8 file; ``offset`` is that of its weights' first byte, else see FoundLayer."""

    layer: str
    operator: int
    type: str
    grid: LayerGrid
    integers: NDArray[np.int8]
    offset: int

    @property
    def region(self) -> Region:
        """Its weights' bytes, for the ``bits1`` encoding."""
        widths = tuple(int(width) for width in self.grid.bits)
        return Region(self.offset, widths, self.integers.size // len(widths), self.type == DEPTHWISE)


def find_layers(path: Path, grids: Mapping[str, LayerGrid]) -> tuple[FoundLayer, ...]:
    """Every operator with weights, as the layer whose weights those are, in execution order.

    Args:
        path: a tflite file, float or int8, that was converted from the network with the dequantized weights.
        grids: of every layer, by name.

    Raises:
        GateError: an operator whose weights are no layer's, or a layer that no operator holds.
    """
    index, found = _Index(grids), []
    for op, weights in read_weights(path, inspect_tflite(path)):
        layer = index.find(op, weights)
        if layer is None:
            raise GateError(
                f"{path}: operator {op.index} {op.type} holds weights of no tuned layer; expected the converter to "
                "pass them on unchanged; is a batch norm left that could not be folded?"
            )
        found.append(layer)
    lost = sorted(set(grids) - {layer.layer for layer in found})
    if lost:
        raise GateError(f"{path}: no operator holds the weights of {lost[0]} ({len(lost)} in all); expected all layers")
    return tuple(found)


def place_layers(path: Path, found: Sequence[FoundLayer]) -> tuple[PlacedLayer, ...]:
    """The same layers in the int8 file, every weight compared with the tuned one, bit for bit.

    Args:
        path: quantized from the file that ``found`` is of.
        found: by ``find_layers``.

    Raises:
        GateError: other operators, or an operator with other integers or steps.
    """
    info = inspect_tflite(path)
    ops = weighted(info)
    if [op.type for op in ops] != [layer.type for layer in found]:
        raise GateError(f"{path}: has {len(ops)} operators with weights, expected the float file's {len(found)}")
    stored = read_constants(path, [op.inputs[1] for op in ops])
    offsets = constant_offsets(path, [op.inputs[1] for op in ops])
    placed = []
    for op, layer in zip(ops, found, strict=True):
        tensor = info.tensors[op.inputs[1]]
        same = np.array_equal(stored[tensor.index], layer.integers) and not any(tensor.zero_points)
        if not same or not np.array_equal(np.array(tensor.scales, np.float32), layer.grid.scale):
            raise GateError(
                f"{path}: operator {op.index} {op.type} holds other weights than the tuned ones of {layer.layer}; "
                "expected the same integers and steps"
            )
        placed.append(PlacedLayer(layer.layer, op.index, op.type, layer.grid, layer.integers, offsets[tensor.index]))
    return tuple(placed)


def weighted(info: TfliteInfo) -> list[OpInfo]:
    """Operators whose second input is a constant weight."""
    return [
        op for op in info.ops if op.type in OPERATORS and len(op.inputs) > 1 and info.tensors[op.inputs[1]].constant
    ]


def read_weights(path: Path, info: TfliteInfo) -> Iterator[tuple[OpInfo, NDArray[np.float32]]]:
    """Every operator's weights as the interpreter means them: integer x scale in float32, in the file's layout."""
    ops = weighted(info)
    stored = read_constants(path, [op.inputs[1] for op in ops])
    for op in ops:
        tensor = info.tensors[op.inputs[1]]
        if any(tensor.zero_points):
            raise GateError(f"{path}: operator {op.index} {op.type} has weights with a zero point, expected none")
        values = stored[tensor.index].astype(np.float32)
        if tensor.scales:
            scale = np.array(tensor.scales, dtype=np.float32)
            values = values * (scale if op.type == DEPTHWISE else scale.reshape(-1, *[1] * (values.ndim - 1)))
        yield op, values


def as_rows(op_type: str, weight: NDArray[Any]) -> Rows:
    """A tflite operator's weights, one channel per row: kernel rows, kernel columns, input channels."""
    if op_type == DEPTHWISE:  # (1, H, W, C)
        return np.moveaxis(weight, -1, 0).reshape(weight.shape[-1], -1)
    return weight.reshape(len(weight), -1)


def torch_rows(weight: NDArray[Any]) -> Rows:
    """Likewise of torch's (C, I, kernel...)."""
    return np.moveaxis(weight, 1, -1).reshape(len(weight), -1)


class _Index:
    """Finds the layer that an operator's float weights are of, by their values.

    Depthwise kernels may come in bands (``rewrites.BandedDepthwise``): a window of a layer's kernel is found too, and
    has the layer's steps.
    """

    def __init__(self, grids: Mapping[str, LayerGrid]) -> None:
        self._grids = grids
        self._by_value = {_key(torch_rows(grid.weight)): name for name, grid in grids.items()}
        self._depthwise = {n: g for n, g in grids.items() if g.integers.ndim == 4 and g.integers.shape[1] == 1}

    def find(self, op: OpInfo, weight: NDArray[Any]) -> FoundLayer | None:
        """None where they are no layer's."""
        name = self._by_value.get(_key(as_rows(op.type, weight)))
        if name is not None:
            grid = self._grids[name]
            rows = torch_rows(grid.integers)
            if op.type == DEPTHWISE:
                shape = (weight.shape[-1], *weight.shape[:-1])
                whole = np.ascontiguousarray(np.moveaxis(rows.reshape(shape), 0, -1))
                return FoundLayer(name, op.index, op.type, grid, whole)
            return FoundLayer(name, op.index, op.type, grid, rows.reshape(weight.shape))
        if op.type == DEPTHWISE:
            for name, grid in self._depthwise.items():
                window = _window(grid, weight)
                if window is not None:
                    return FoundLayer(name, op.index, op.type, grid, window)
        return None


def _window(grid: LayerGrid, weight: NDArray[Any]) -> NDArray[np.int8] | None:
    """A depthwise layer's integers (1, h, w, C) at the place where its kernel equals ``weight`` (1, h, w, C)."""
    kernel = np.moveaxis(grid.weight[:, 0], 0, -1)  # (H, W, C)
    (height, width, channels), (_, h, w, c) = kernel.shape, weight.shape
    if c != channels or h > height or w > width:
        return None
    for top in range(height - h + 1):
        for left in range(width - w + 1):
            place = (slice(top, top + h), slice(left, left + w))
            if np.array_equal(kernel[place], weight[0]):
                return np.ascontiguousarray(np.moveaxis(grid.integers[:, 0], 0, -1)[place][None])
    return None


def _key(rows: Rows) -> bytes:
    rows = np.ascontiguousarray(rows, dtype=np.float32) + np.float32(0)  # -0 is 0
    return str(rows.shape).encode() + rows.tobytes()
