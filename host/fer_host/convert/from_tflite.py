"""tflite -> ONNX, by operator: the same numbers on the same grids, channels first inside, channels last outside.

For ``onnx_int8``, so that it has the very scales, zero points and integers of the int8 tflite file, and for detectors
that exist as tflite only. An operator that is not here is refused by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fer_host.convert.onnx_graph import TO_NCHW, TO_NHWC, GraphBuilder
from fer_host.errors import ToolError
from fer_host.files.artifacts import write_bytes
from fer_host.tflite.inspection import OpInfo, TensorInfo

_NONE, _RELU, _RELU1, _RELU6 = range(4)  # tflite's ActivationFunctionType
_SAME = 0  # tflite's Padding
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_QMIN, _QMAX = -128, 127


def tflite_to_onnx(source: Path, target: Path, any_size: bool = False) -> None:
    """Writes ``target``: the tflite file as ONNX, opset 17, inputs and outputs as they are (QDQ where it is int8).

    Args:
        source: a tflite network in float32 or int8; constants may be halves.
        target: the .onnx file to write.
        any_size: the input's height and width are left open; for networks without a fixed size.

    Raises:
        ToolError: it has an operator, or a use of one, that has no exact equivalent here.
    """
    graph = GraphBuilder(source, any_size)
    graph.begin()
    for op in graph.info.ops:
        translate = _OPERATORS.get(op.type)
        if translate is None:
            raise ToolError(
                f"{source}: operator {op.index} is a {op.type}, which has no ONNX form here; expected "
                f"{', '.join(sorted(_OPERATORS))}"
            )
        translate(graph, op)
    write_bytes(target, graph.finish().SerializeToString(deterministic=True))


def _conv(graph: GraphBuilder, op: OpInfo) -> None:
    (source, margins), kernel = graph.margins.get(op.inputs[0], (op.inputs[0], [0, 0, 0, 0])), op.inputs[1]
    weights = graph.stored(kernel)  # (out, h, w, in), depthwise (1, h, w, out)
    is_depthwise = op.type == "DEPTHWISE_CONV_2D"
    rows, cols = weights.shape[1:3]
    groups = graph.info.tensors[source].shape[3] if is_depthwise else 1
    if not is_depthwise and weights.shape[3] != graph.info.tensors[source].shape[3]:
        groups = graph.info.tensors[source].shape[3] // weights.shape[3]
    turned = weights.transpose([3, 0, 1, 2] if is_depthwise else TO_NCHW)
    inputs = [graph.value(source), graph.weights(kernel, turned)]
    inputs += [graph.weights(index, graph.stored(index)) for index in op.inputs[2:3] if index >= 0]
    dilations = [op.attributes["dilationHFactor"], op.attributes["dilationWFactor"]]
    name = graph.node(
        "Conv",
        *inputs,
        kernel_shape=[rows, cols],
        strides=_strides(op),
        dilations=dilations,
        group=groups,
        pads=[sum(pair) for pair in zip(_pads(graph, op, (rows, cols), dilations), margins, strict=True)],
    )
    graph.give(op, _activated(graph, op, name))


def _strides(op: OpInfo) -> list[int]:
    return [op.attributes["strideH"], op.attributes["strideW"]]


def _pads(graph: GraphBuilder, op: OpInfo, kernel: tuple[int, int], dilations: list[int]) -> list[int]:
    """(top, left, bottom, right): tflite's SAME has the odd one at the end."""
    if op.attributes["padding"] != _SAME:
        return [0, 0, 0, 0]
    if graph.any_size and _strides(op) != [1, 1]:
        raise ToolError(f"{graph.info.path}: operator {op.index} {op.type} pads by the picture's size, which is open")
    before, after = [], []
    for size, length, stride, dilation in zip(
        graph.info.tensors[op.inputs[0]].shape[1:3], kernel, _strides(op), dilations, strict=True
    ):
        total = max((-(-size // stride) - 1) * stride + (length - 1) * dilation + 1 - size, 0)
        before.append(total // 2)
        after.append(total - total // 2)
    return [*before, *after]


def _fully_connected(graph: GraphBuilder, op: OpInfo) -> None:
    source, kernel = op.inputs[:2]
    if graph.rank(source) != 2:
        raise ToolError(f"{graph.info.path}: operator {op.index} {op.type} takes {graph.rank(source)} axes, expected 2")
    inputs = [graph.value(source), graph.weights(kernel, graph.stored(kernel))]
    inputs += [graph.weights(index, graph.stored(index)) for index in op.inputs[2:3] if index >= 0]
    graph.give(op, _activated(graph, op, graph.node("Gemm", *inputs, transB=1)))


def _activated(graph: GraphBuilder, op: OpInfo, name: str) -> str:
    """After an operator's own activation; nothing where the grid of its output cuts at the same places."""
    kind = op.attributes.get("fusedActivationFunction", _NONE)
    if kind == _NONE or _is_implied(graph.info.tensors[op.outputs[0]], kind):
        return name
    if kind == _RELU:
        return graph.node("Relu", name)
    if kind in (_RELU1, _RELU6):
        low, high = (-1.0, 1.0) if kind == _RELU1 else (0.0, 6.0)
        return graph.node("Clip", name, *(graph.constant(np.array(end, np.float32)) for end in (low, high)))
    raise ToolError(f"{graph.info.path}: operator {op.index} {op.type} has activation {kind}, expected ReLU or ReLU6")


def _is_implied(tensor: TensorInfo, kind: int) -> bool:
    """Whether rounding to the grid already gives what ReLU or ReLU6 would: it ends at 0, and at 6 or below."""
    if tensor.dtype != "int8" or kind not in (_RELU, _RELU6) or tensor.zero_points[0] != _QMIN:
        return False
    return kind == _RELU or round(6.0 / tensor.scales[0]) + _QMIN >= _QMAX


def _add(graph: GraphBuilder, op: OpInfo) -> None:
    names = []
    for index in op.inputs:
        if graph.is_constant(index) and graph.rank(index) == 1 and graph.rank(op.outputs[0]) == 4:
            names.append(graph.weights(index, graph.stored(index).reshape(-1, 1, 1)))  # by channel
        else:
            names.append(graph.value(index))
    kinds = {"ADD": "Add", "MUL": "Mul", "SUB": "Sub"}
    graph.give(op, _activated(graph, op, graph.node(kinds[op.type], *names)))


def _mean(graph: GraphBuilder, op: OpInfo) -> None:
    source, axes = op.inputs
    if graph.rank(source) != 4 or sorted(graph.info.tensors[axes].integers) != [1, 2]:
        raise ToolError(f"{graph.info.path}: operator {op.index} MEAN, expected the one over height and width")
    name = graph.node("GlobalAveragePool", graph.value(source))
    if not op.attributes["keepDims"]:
        name = graph.on_grid(graph.info.tensors[op.outputs[0]], name)
        name = graph.node("Flatten", name, axis=1)
    graph.give(op, name)


def _pad(graph: GraphBuilder, op: OpInfo) -> None:
    """With zeros; part of the convolution behind it where that is its one reader and it pads the picture alone."""
    source, target = op.inputs[0], op.outputs[0]
    pairs = np.array(graph.info.tensors[op.inputs[1]].integers).reshape(-1, 2)
    readers = [reader for reader in graph.info.ops if target in reader.inputs]
    before, after = (graph.info.tensors[index] for index in (source, target))
    same = (before.scales, before.zero_points) == (after.scales, after.zero_points)
    is_margin = len(readers) == 1 and readers[0].type in _CONVOLUTIONS and same and not pairs[[0, 3]].any()
    if is_margin and target not in graph.info.output_indices and readers[0].attributes["padding"] != _SAME:
        graph.margins[target] = (source, [*pairs[1:3, 0].tolist(), *pairs[1:3, 1].tolist()])
        return
    pairs = pairs[TO_NCHW] if graph.rank(source) == 4 else pairs
    pads = graph.constant(np.concatenate([pairs[:, 0], pairs[:, 1]]).astype(np.int64))
    graph.give(op, graph.node("Pad", graph.value(source), pads))


def _pool(graph: GraphBuilder, op: OpInfo) -> None:
    kernel = (op.attributes["filterHeight"], op.attributes["filterWidth"])
    kind = "MaxPool" if op.type == "MAX_POOL_2D" else "AveragePool"
    where: dict[str, Any] = {"auto_pad": "SAME_UPPER"}
    if not graph.any_size or op.attributes["padding"] != _SAME:
        where = {"pads": _pads(graph, op, kernel, [1, 1])}
    name = graph.node(kind, graph.value(op.inputs[0]), kernel_shape=kernel, strides=_strides(op), **where)
    graph.give(op, _activated(graph, op, name))


def _reshape(graph: GraphBuilder, op: OpInfo) -> None:
    """By the order that the file's values lie in: channels last."""
    source, target = op.inputs[0], op.outputs[0]
    name = graph.value(source)
    if graph.rank(source) == 4:
        name = graph.node("Transpose", name, perm=TO_NHWC)
    shape = graph.constant(np.array(graph.info.tensors[target].shape, np.int64))
    name = graph.node("Reshape", name, shape)
    graph.give(op, graph.node("Transpose", name, perm=TO_NCHW) if graph.rank(target) == 4 else name)


def _concat(graph: GraphBuilder, op: OpInfo) -> None:
    axis = graph.axis(op.outputs[0], op.attributes["axis"])
    graph.give(op, _activated(graph, op, graph.node("Concat", *map(graph.value, op.inputs), axis=axis)))


def _prelu(graph: GraphBuilder, op: OpInfo) -> None:
    source, slope = op.inputs
    values = graph.stored(slope)
    values = values.reshape(-1, *[1] * (graph.rank(source) - 2))  # one a channel, behind it the picture's axes
    if values.size != graph.info.tensors[source].shape[-1]:
        raise ToolError(f"{graph.info.path}: operator {op.index} PRELU, expected one slope a channel")
    graph.give(op, graph.node("PRelu", graph.value(source), graph.weights(slope, values)))


def _resize(graph: GraphBuilder, op: OpInfo) -> None:
    source, target = op.inputs[0], graph.info.tensors[op.outputs[0]]
    mode = "half_pixel" if op.attributes["halfPixelCenters"] else "asymmetric"
    mode = "align_corners" if op.attributes["alignCorners"] else mode
    sizes = graph.constant(np.array([target.shape[i] for i in TO_NCHW], np.int64))
    name = graph.node("Resize", graph.value(source), "", "", sizes, mode="linear", coordinate_transformation_mode=mode)
    graph.give(op, name)


def _softmax(graph: GraphBuilder, op: OpInfo) -> None:
    graph.give(op, graph.node("Softmax", graph.value(op.inputs[0]), axis=graph.axis(op.inputs[0], -1)))


def _one_to_one(kind: str) -> Callable[[GraphBuilder, OpInfo], None]:
    return lambda graph, op: graph.give(op, graph.node(kind, graph.value(op.inputs[0])))


def _requantize(graph: GraphBuilder, op: OpInfo) -> None:
    """To float, to int8 or to another grid; halves that the file stores become float32 constants."""
    (source,) = op.inputs
    if graph.is_constant(source) and graph.stored(source).dtype == np.float16:
        graph.fold(op.outputs[0], graph.stored(source).astype(np.float32))
        return
    graph.give(op, graph.value(source))


_OPERATORS: dict[str, Callable[[GraphBuilder, OpInfo], None]] = {
    "ADD": _add,
    "AVERAGE_POOL_2D": _pool,
    "CONCATENATION": _concat,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _conv,
    "DEQUANTIZE": _requantize,
    "FULLY_CONNECTED": _fully_connected,
    "HARD_SWISH": _one_to_one("HardSwish"),
    "LOGISTIC": _one_to_one("Sigmoid"),
    "MAX_POOL_2D": _pool,
    "MEAN": _mean,
    "MUL": _add,
    "PAD": _pad,
    "PRELU": _prelu,
    "QUANTIZE": _requantize,
    "RELU": _one_to_one("Relu"),
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": _resize,
    "SOFTMAX": _softmax,
    "SUB": _add,
}
