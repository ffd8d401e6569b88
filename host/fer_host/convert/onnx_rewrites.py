"""Exact equivalents of blocks that int8 cannot hold, in an ONNX graph: what ``rewrites`` does where modules are known.

For networks whose layers are functions in the user's code, or a graph from the start (.onnx, .pt2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper


@dataclass
class _Graph:
    """A graph in the making: its constants, known shapes, and names that nobody has."""

    model: onnx.ModelProto
    nodes: list[NodeProto] = field(default_factory=list)

    def __post_init__(self) -> None:
        inferred = onnx.shape_inference.infer_shapes(self.model).graph
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in self.model.graph.initializer}
        for node in self.model.graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self.shapes = {
            each.name: [dim.dim_value for dim in each.type.tensor_type.shape.dim]
            for each in (*inferred.input, *inferred.value_info, *inferred.output)
        }

    def constant(self, value: NDArray[np.generic]) -> str:
        name = f"rewritten_{len(self.model.graph.initializer)}"
        self.model.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def add(self, kind: str, inputs: list[str], output: str | None = None, **attributes: object) -> str:
        output = output or f"rewritten_{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output


def rewrite_onnx(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every such block exchanged, itself where there is none; it computes the same.

    A padded max-pool gets its border repeated instead of the lowest number, a PReLU becomes a maximum or a sum, and a
    hard swish the operators that it stands for.
    """
    if not any(_REWRITES.get(node.op_type) for node in model.graph.node):
        return model
    graph = _Graph(model)
    for node in list(model.graph.node):
        rewrite = _REWRITES.get(node.op_type)
        if rewrite is None or not rewrite(graph, node):
            graph.nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(graph.nodes)
    del model.graph.value_info[:]
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model


def _max_pool(graph: _Graph, node: NodeProto) -> bool:
    """As ``rewrites.BorderMaxPool``."""
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    kernel, pads = given.get("kernel_shape", []), given.get("pads", [])
    strides = given.get("strides", [1] * len(kernel))
    shape = graph.shapes.get(node.input[0], [])
    plain = not given.get("ceil_mode") and given.get("auto_pad", b"NOTSET") == b"NOTSET" and len(node.output) == 1
    if not any(pads) or not plain or len(kernel) != 2 or set(given.get("dilations", [1])) != {1} or len(shape) != 4:
        return False
    x = node.input[0]
    for axis, size in ((2, shape[2]), (3, shape[3])):
        i = axis - 2
        before, behind = pads[i], pads[i + 2] - (size + pads[i] + pads[i + 2] - kernel[i]) % strides[i]
        ends = {}
        for name, start in (("first", 0), ("last", size - 1)):
            limits = [np.array([value], dtype=np.int64) for value in (start, start + 1, axis)]
            ends[name] = graph.add("Slice", [x, *(graph.constant(limit) for limit in limits)])
        parts = [*[ends["first"]] * before, x, *[ends["last"]] * max(0, behind)]
        x = graph.add("Concat", parts, axis=axis) if len(parts) > 1 else x
    graph.add("MaxPool", [x], node.output[0], kernel_shape=kernel, strides=strides)
    return True


def _prelu(graph: _Graph, node: NodeProto) -> bool:
    slopes = graph.constants.get(node.input[1])
    if slopes is None:
        return False
    x = node.input[0]
    scaled = graph.add("Mul", [x, graph.constant(slopes)])
    if (slopes <= 1).all():
        graph.add("Max", [x, scaled], node.output[0])
        return True
    positive = graph.add("Mul", [graph.add("Relu", [x]), graph.constant((1 - slopes).astype(slopes.dtype))])
    graph.add("Add", [scaled, positive], node.output[0])
    return True


def _hard_swish(graph: _Graph, node: NodeProto) -> bool:
    x = node.input[0]
    three, none, six, sixth = (graph.constant(np.array(v, dtype=np.float32)) for v in (3.0, 0.0, 6.0, 1 / 6))
    gate = graph.add("Clip", [graph.add("Add", [x, three]), none, six])
    graph.add("Mul", [graph.add("Mul", [x, gate]), sixth], node.output[0])
    return True


def _hard_sigmoid(graph: _Graph, node: NodeProto) -> bool:
    """clip(a x + b, 0, 1) as relu6(6 a x + 6 b) / 6, which int8 has."""
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    alpha, beta = 6 * given.get("alpha", 0.2), 6 * given.get("beta", 0.5)
    slope, shift, none, six, sixth = (
        graph.constant(np.array(v, dtype=np.float32)) for v in (alpha, beta, 0.0, 6.0, 1 / 6)
    )
    x = node.input[0] if abs(alpha - 1) < 1e-6 else graph.add("Mul", [node.input[0], slope])
    gate = graph.add("Clip", [graph.add("Add", [x, shift]), none, six])
    graph.add("Mul", [gate, sixth], node.output[0])
    return True


_REWRITES: dict[str, Callable[[_Graph, NodeProto], bool]] = {
    "MaxPool": _max_pool,
    "PRelu": _prelu,
    "HardSwish": _hard_swish,
    "HardSigmoid": _hard_sigmoid,
}
