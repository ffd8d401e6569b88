"""Which operators of a network an accelerator has: the file's own list against its compiler's table, and what shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import helper, numpy_helper

from fer_host.convert.onnx_file import load_onnx
from fer_host.errors import DataError
from fer_host.export.accelerator import Accelerator, OperatorLimit
from fer_host.tflite.arithmetic import not_int8, scheme_of
from fer_host.tflite.inspection import OpInfo, TfliteInfo, inspect_tflite

_FUSED = {0: "none", 1: "relu", 2: "relu_n1_to_1", 3: "relu6", 4: "tanh", 5: "sign_bit"}  # tflite's schema


@dataclass(frozen=True)
class Operator:
    """One operator of a network, of either form.

    Attributes:
        index: in execution order.
        type: the form's own name.
        kernel: larger side of its window; None: it has none.
        stride: larger stride.
        fused: activation that is part of it.
        axes: that it reduces, not negative; empty: none.
        rank: axes of its largest tensor.
    """

    index: int
    type: str
    kernel: int | None = None
    stride: int | None = None
    fused: str = "none"
    axes: tuple[int, ...] = ()
    rank: int = 4


@dataclass(frozen=True)
class Placed:
    """An operator and why it does not run on the accelerator; "": it does."""

    operator: Operator
    reason: str = ""


@dataclass(frozen=True)
class Checked:
    """A network's form as the compiler sees it."""

    form: str
    placed: tuple[Placed, ...]

    @property
    def elsewhere(self) -> tuple[Placed, ...]:
        """Operators that the accelerator does not have."""
        return tuple(each for each in self.placed if each.reason)

    @property
    def counts(self) -> dict[str, int]:
        """Number of operators by type, most first."""
        return dict(Counter(each.operator.type for each in self.placed).most_common())


def check_network(path: Path, accelerator: Accelerator) -> Checked:
    """Looks whether a network has the form that the compiler takes, and which operators the accelerator has.

    Raises:
        DataError: a shape that is not fixed, a batch of more than one, an opset out of range, or an input or output
            that is not int8 where it must be.
    """
    operators = _onnx(path, accelerator) if accelerator.form == "onnx" else _tflite(path)
    form = operators[0]
    return Checked(form, tuple(Placed(each, _reason(each, accelerator)) for each in operators[1]))


def _reason(operator: Operator, accelerator: Accelerator) -> str:
    limit = accelerator.operators.get(operator.type)
    if limit is None:
        return f"{accelerator.compiler} has no {operator.type}"
    return _beyond(operator, limit) or _rank(operator, accelerator)


def _rank(operator: Operator, accelerator: Accelerator) -> str:
    if operator.rank <= accelerator.rank_most:
        return ""
    return f"a tensor of {operator.rank} axes, at most {accelerator.rank_most}"


def _beyond(operator: Operator, limit: OperatorLimit) -> str:
    """The first limit that an operator breaks, in words; "": none."""
    for what, found, most in (
        ("window", operator.kernel, limit.kernel_most),
        ("stride", operator.stride, limit.stride_most),
    ):
        if found is not None and most is not None and found > most:
            return f"{what} of {found}, at most {most}"
    if limit.fused is not None and operator.fused not in limit.fused:
        return f"fused {operator.fused}, expected {' or '.join(limit.fused)}"
    if limit.axes is not None and not set(operator.axes) <= set(limit.axes):
        return f"reduces axes {list(operator.axes)}, expected some of {list(limit.axes)}"
    return ""


def _tflite(path: Path) -> tuple[str, list[Operator]]:
    info = inspect_tflite(path)
    for what, spec in (("input", info.inputs[0]), ("output", info.outputs[0])):
        if spec.dtype != "int8":
            raise DataError(f"{path}: its {what} is {spec.dtype}, expected int8; make the int8 variant")
        _fixed(path, what, spec.shape)
    if len(info.inputs) != 1 or len(info.outputs) != 1 or scheme_of(info) != "int8":
        notes = not_int8(info)
        first = f"operator {notes[0].index} {notes[0].type}: {notes[0].reason}" if notes else "two inputs or outputs"
        raise DataError(f"{path}: {first}; expected one input, one output, and int8 all the way")
    shapes = f"{_shape(info.inputs[0].shape)} int8 -> {_shape(info.outputs[0].shape)} int8, channels last"
    return shapes, [_of_tflite(info, op) for op in info.ops]


def _of_tflite(info: TfliteInfo, op: OpInfo) -> Operator:
    given, tensors = op.attributes, [info.tensors[i] for i in (*op.inputs, *op.outputs) if i >= 0]
    kernel = [given[key] for key in ("filterHeight", "filterWidth") if key in given]
    if op.type in ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"):
        kernel = list(info.tensors[op.inputs[1]].shape[1:3])  # (outputs or 1, height, width, channels)
    stride = [given[key] for key in ("strideH", "strideW") if key in given]
    axes: tuple[int, ...] = ()
    if op.type in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"):
        rank = len(info.tensors[op.inputs[0]].shape)
        axes = tuple(sorted(axis % rank for axis in info.tensors[op.inputs[1]].integers))
    return Operator(
        op.index,
        op.type,
        max(kernel, default=None),
        max(stride, default=None),
        _FUSED.get(given.get("fusedActivationFunction", 0), "other"),
        axes,
        max(len(tensor.shape) for tensor in tensors),
    )


def _onnx(path: Path, accelerator: Accelerator) -> tuple[str, list[Operator]]:
    model = load_onnx(path)
    low, high = accelerator.opset
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    if not low <= opset <= high:
        raise DataError(f"{path}: opset {opset}, expected {low} to {high} for {accelerator.id}")
    if model.ir_version > accelerator.ir_most:
        raise DataError(
            f"{path}: IR version {model.ir_version}, expected at most {accelerator.ir_most} for {accelerator.id}"
        )
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    constants |= {
        node.output[0]: numpy_helper.to_array(node.attribute[0].t)
        for node in graph.node
        if node.op_type == "Constant" and node.attribute[0].name == "value"
    }
    shapes = {each.name: _sides(each) for each in (*graph.input, *graph.value_info, *graph.output)}
    (source,), (result,) = [each for each in graph.input if each.name not in constants], graph.output
    for what, each in (("input", source), ("output", result)):
        _fixed(path, what, shapes[each.name])
    for name, shape in shapes.items():
        if 0 in shape:
            raise DataError(f"{path}: tensor {name!r} has no fixed shape, found {shape}; expected a size for each axis")
    form = f"{_shape(shapes[source.name])} float32 -> {_shape(shapes[result.name])} float32, channels first"
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    return f"{form}, opset {opset}", [_of_onnx(i, node, shapes, constants) for i, node in enumerate(nodes)]


def _of_onnx(index: int, node: Any, shapes: Mapping[str, Sequence[int]], constants: Mapping[str, Any]) -> Operator:
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    axes: tuple[int, ...] = ()
    rank = max((len(shapes[name]) for name in (*node.input, *node.output) if name in shapes), default=0)
    if node.op_type.startswith("Reduce"):
        listed = given.get("axes") or [int(axis) for name in node.input[1:] for axis in constants.get(name, ())]
        channels_last = {0: 0, 1: 3, 2: 1, 3: 2} if rank == 4 else {axis: axis for axis in range(rank)}
        axes = tuple(sorted(channels_last[axis % rank] for axis in listed))
    kernel, strides = given.get("kernel_shape", []), given.get("strides", [])
    return Operator(
        index, node.op_type, max(kernel, default=None), max(strides, default=None), "none", axes, max(rank, 1)
    )


def _sides(value: Any) -> list[int]:
    """Sizes of the axes; 0 for one that has none."""
    return [dim.dim_value if dim.HasField("dim_value") else 0 for dim in value.type.tensor_type.shape.dim]


def _fixed(path: Path, what: str, shape: Sequence[int]) -> None:
    if not shape or min(shape) < 1 or shape[0] != 1:
        raise DataError(f"{path}: its {what} is {_shape(shape)}, expected fixed sizes and a batch of 1")


def _shape(shape: Sequence[int]) -> str:
    return "x".join(str(side) if side > 0 else "?" for side in shape)


def lines_of(checked: Checked) -> Iterator[str]:
    """Which operators there are, and each that the accelerator does not have, one line each."""
    yield ", ".join(f"{n} {name}" for name, n in checked.counts.items())
    for each in checked.elsewhere:
        yield f"operator {each.operator.index} {each.operator.type}: {each.reason}"
