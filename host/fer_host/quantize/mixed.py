"""Float tflite -> int8 tflite whose weights are exactly the tuned integers and steps, and the check that they are.

ai-edge-quantizer derives a weight's step from its largest value, which would move every tuned grid. Its registry takes
own functions for known operators; ours hands out the steps and integers of the layer whose values the operator holds.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.bits1 import Region
from fer_host.convert.int8 import quantize_int8
from fer_host.errors import GateError, ToolError
from fer_host.quantize.grids import LayerGrid
from fer_host.tflite.inspection import OpInfo, TfliteInfo, inspect_tflite, read_constants
from fer_host.tflite.ranges import ActivationRanges

_OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
Rows = NDArray[Any]  # (C, weights of a channel), in the order kernel row, kernel column, input channel


def quantize_mixed(
    float_tflite: Path,
    ranges: ActivationRanges,
    grids: Mapping[str, LayerGrid],
    target: Path,
    *,
    weights_sha256: str,
) -> None:
    """Static int8 as ``quantize_int8``, with every layer's weights on its own grid.

    Args:
        float_tflite: converted from the dequantized network.
        ranges: observed on it.
        grids: of every layer, by name.
        target: the .tflite file to write.
        weights_sha256: of the dequantized network.

    Raises:
        GateError: an operator's weights are no layer's: the converter changed them.
        DataError: see ``quantize_int8``.
        ToolError: see ``quantize_int8``.
    """
    with _own_steps(grids) as strangers:
        try:
            quantize_int8(float_tflite, ranges, target, weights_sha256=weights_sha256)
        except ToolError as error:
            if not strangers:
                raise
            raise GateError(
                f"{float_tflite}: {strangers[0]}'s weights are those of no tuned layer; expected the converter to pass "
                "them on unchanged; is a batch norm left that could not be folded?"
            ) from error
    check_grids(target, grids)


def check_grids(path: Path, grids: Mapping[str, LayerGrid]) -> dict[int, str]:
    """Reads every weight back and compares it with the tuned one, bit for bit.

    Returns:
        Operator index -> layer name.

    Raises:
        GateError: a layer that no operator holds, or an operator with other weights.
    """
    info, index = inspect_tflite(path), _Index(grids)
    found: dict[int, str] = {}
    for op, weights in read_weights(path, info):
        match = index.find(op.type, weights)
        if match is None:
            raise GateError(
                f"{path}: operator {op.index} {op.type} holds weights of no tuned layer; expected none such"
            )
        found[op.index] = match.layer
    lost = sorted(set(grids) - set(found.values()))
    if lost:
        raise GateError(f"{path}: no operator holds the weights of {lost[0]} ({len(lost)} in all); expected all layers")
    return found


def weighted(info: TfliteInfo) -> list[OpInfo]:
    """Operators whose second input is a constant weight."""
    return [
        op for op in info.ops if op.type in _OPERATORS and len(op.inputs) > 1 and info.tensors[op.inputs[1]].constant
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
            values = values * (scale if op.type == "DEPTHWISE_CONV_2D" else scale.reshape(-1, *[1] * (values.ndim - 1)))
        yield op, values


def packed_regions(content: bytes, path: Path, grids: Mapping[str, LayerGrid]) -> list[Region]:
    """Where a mixed file holds its weights, with the widths of their channels, for the ``bits1`` encoding."""
    info, names = inspect_tflite(path), check_grids(path, grids)
    ops = {op.index: op for op in weighted(info)}
    stored = read_constants(path, [op.inputs[1] for op in ops.values()])
    regions: list[Region] = []
    taken: list[tuple[int, int]] = []
    # the largest first: a short tensor's bytes may happen to lie inside a long one too
    for index, name in sorted(names.items(), key=lambda entry: -stored[ops[entry[0]].inputs[1]].size):
        values = stored[ops[index].inputs[1]]
        offset = free_place(content, values.tobytes(), taken)
        if offset is None:  # two operators that share one tensor
            continue
        widths = tuple(int(width) for width in grids[name].bits)
        last_axis = ops[index].type == "DEPTHWISE_CONV_2D"
        regions.append(Region(offset, widths, values.size // len(widths), last_axis))
        taken.append((offset, offset + values.size))
    return sorted(regions, key=lambda region: region.offset)


def free_place(content: bytes, part: bytes, taken: list[tuple[int, int]]) -> int | None:
    """Where ``part`` lies in ``content`` outside the taken (start, end) ranges; None: nowhere."""
    offset = content.find(part)
    while offset >= 0:
        blocking = [end for start, end in taken if start < offset + len(part) and offset < end]
        if not blocking:
            return offset
        offset = content.find(part, max(blocking))
    return None


def as_rows(op_type: str, weight: NDArray[Any]) -> Rows:
    """A tflite operator's weights, a channel a row: kernel rows, kernel columns, input channels."""
    if op_type == "DEPTHWISE_CONV_2D":  # (1, H, W, C)
        return np.moveaxis(weight, -1, 0).reshape(weight.shape[-1], -1)
    return weight.reshape(len(weight), -1)


def torch_rows(weight: NDArray[Any]) -> Rows:
    """Likewise of torch's (C, I, kernel...)."""
    return np.moveaxis(weight, 1, -1).reshape(len(weight), -1)


@dataclass(frozen=True)
class _Match:
    """The layer that an operator's weights are of, and its integers in the operator's layout."""

    layer: str
    grid: LayerGrid
    integers: NDArray[np.int8]


class _Index:
    """Finds the layer that an operator's float weights are of, by their values.

    Depthwise kernels may come in bands (``rewrites.BandedDepthwise``): a window of a layer's kernel is found too, and
    has the layer's steps.
    """

    def __init__(self, grids: Mapping[str, LayerGrid]) -> None:
        self._grids = grids
        self._by_value = {_key(torch_rows(grid.weight)): name for name, grid in grids.items()}
        self._depthwise = {n: g for n, g in grids.items() if g.integers.ndim == 4 and g.integers.shape[1] == 1}

    def find(self, op_type: str, weight: NDArray[Any]) -> _Match | None:
        """None where they are no layer's."""
        name = self._by_value.get(_key(as_rows(op_type, weight)))
        if name is not None:
            grid = self._grids[name]
            rows = torch_rows(grid.integers)
            if op_type == "DEPTHWISE_CONV_2D":
                shape = (weight.shape[-1], *weight.shape[:-1])
                return _Match(name, grid, np.ascontiguousarray(np.moveaxis(rows.reshape(shape), 0, -1)))
            return _Match(name, grid, rows.reshape(weight.shape))
        if op_type == "DEPTHWISE_CONV_2D":
            for name, grid in self._depthwise.items():
                window = _window(grid, weight)
                if window is not None:
                    return _Match(name, grid, window)
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


@contextmanager
def _own_steps(grids: Mapping[str, LayerGrid]) -> Iterator[list[str]]:
    """Inside, ai-edge-quantizer takes weights' steps from ``grids``; gives the operators that matched none."""
    from ai_edge_quantizer import algorithm_manager as manager
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithms.uniform_quantize import common_quantize, naive_min_max_quantize

    index = _Index(grids)
    strangers: list[str] = []

    def parameters(
        op_info: Any, tensor_config: Any, tensor_content: NDArray[Any] | None = None, tensor_qsv: Any = None
    ) -> Any:
        usual = naive_min_max_quantize.get_tensor_quant_params(op_info, tensor_config, tensor_content, tensor_qsv)
        if tensor_content is None:
            return usual
        kind = str(op_info.op_name.value)
        match = index.find(kind, tensor_content)
        if match is None:
            strangers.append(f"operator {op_info.subgraph_op_index} {kind}")
            raise ValueError("weights of no tuned layer")
        return dataclasses.replace(
            usual,
            scale=match.grid.scale.reshape(np.shape(usual.scale)).astype(np.asarray(usual.scale).dtype),
            zero_point=np.zeros_like(usual.zero_point),
            quantized_data=match.integers.astype(usual.quantized_data.dtype),
        )

    def register(function: Any) -> None:
        for name in _OPERATORS:
            manager.register_quantized_op(
                manager.AlgorithmName.MIN_MAX_UNIFORM_QUANT,
                qtyping.TFLOperationName(name),
                naive_min_max_quantize.init_qsvs,
                calibration_func=naive_min_max_quantize.min_max_calibrate,
                materialize_func=functools.partial(common_quantize.materialize_fc_conv, function),
            )

    register(parameters)
    try:
        yield strangers
    finally:
        register(naive_min_max_quantize.get_tensor_quant_params)
