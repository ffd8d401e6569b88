"""The ONNX files of a bundle: float and half out of the simplified graph; what one holds, and its answers.

Like every file of a bundle they take (1, H, W, C), so that a board prepares a crop once, whatever computes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from fer_edge.contract.manifest import Layer, Scheme, Variant
from fer_edge.contract.specs import TensorSpec
from fer_host.convert.onnx_file import load_onnx
from fer_host.convert.onnx_graph import IR_VERSION, TO_NCHW
from fer_host.device_pipeline import open_runner
from fer_host.errors import ToolError
from fer_host.files.artifacts import write_bytes
from fer_host.models.onnx_file import INPUT_NAME, OUTPUT_NAME

TOOLS = ("onnx", "numpy")  # whose versions change the result; for ``Stage.tools``
# The oldest onnxruntime that passes `fer-edge verify` with these files, tried with NumPy 1.26 on Python 3.11.
MIN_RUNTIME = "onnxruntime 1.17.0"
_WEIGHTED = ("Conv", "Gemm", "MatMul", "PRelu")
_STORAGE: dict[int, tuple[Any, float]] = {
    TensorProto.FLOAT: ("float32", 32.0),
    TensorProto.FLOAT16: ("float16", 16.0),
    TensorProto.INT8: ("int8", 8.0),
}
_DTYPES: dict[int, Any] = {TensorProto.FLOAT: "float32", TensorProto.INT8: "int8"}


def channels_last(source: Path, target: Path) -> None:
    """Writes the graph with an input (1, H, W, C): a Transpose before what the source has.

    Args:
        source: a network by ``simplify_onnx``.
        target: the .onnx file to write.
    """
    model = load_onnx(source)
    graph = model.graph
    (given,) = graph.input
    n, channels, height, width = (dim.dim_value for dim in given.type.tensor_type.shape.dim)
    inside = f"{INPUT_NAME}_channels_first"
    for node in graph.node:
        node.input[:] = [inside if name == INPUT_NAME else name for name in node.input]
    graph.node.insert(0, helper.make_node("Transpose", [INPUT_NAME], [inside], perm=TO_NCHW))
    del graph.input[:], graph.value_info[:]
    graph.input.append(helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, [n, height, width, channels]))
    model.ir_version = IR_VERSION
    _write(model, target)


def to_half(source: Path, target: Path) -> None:
    """Writes the graph in float16 from its input to its logits, which stay float32.

    Args:
        source: a network by ``channels_last``.
        target: the .onnx file to write.

    Raises:
        ToolError: a weight is beyond float16.
    """
    model = load_onnx(source)
    graph = model.graph
    for tensor in graph.initializer:
        _halve(tensor, source)
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.HasField("t"):
                _halve(attribute.t, source)
    entry, inside = graph.node[0], f"{INPUT_NAME}_half"  # the Transpose that ``channels_last`` put there
    entry.input[0] = inside
    graph.node.insert(0, helper.make_node("Cast", [INPUT_NAME], [inside], to=TensorProto.FLOAT16))
    half = f"{OUTPUT_NAME}_half"
    for node in graph.node:
        node.output[:] = [half if name == OUTPUT_NAME else name for name in node.output]
        node.input[:] = [half if name == OUTPUT_NAME else name for name in node.input]
    graph.node.append(helper.make_node("Cast", [half], [OUTPUT_NAME], to=TensorProto.FLOAT))
    _write(model, target)


def _halve(tensor: TensorProto, source: Path) -> None:
    if tensor.data_type != TensorProto.FLOAT:
        return
    value = numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        half = value.astype(np.float16)
    if not np.isfinite(half).all():
        raise ToolError(
            f"{source}: the weights {tensor.name!r} reach {np.abs(value).max():.3g}, beyond float16's 65504; use "
            "SCHEME=onnx"
        )
    tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))


def _write(model: onnx.ModelProto, target: Path) -> None:
    onnx.checker.check_model(model)
    write_bytes(target, model.SerializeToString(deterministic=True))


def onnx_variant(name: str, path: Path) -> Variant:
    """The manifest's entry of an ONNX file, read off the file itself.

    Raises:
        ToolError: it has not one input and one output of types that a bundle knows.
    """
    graph = load_onnx(path).graph
    if len(graph.input) != 1 or len(graph.output) != 1:
        raise ToolError(f"{path}: has {len(graph.input)} inputs and {len(graph.output)} outputs, expected one of each")
    constants = {tensor.name: tensor for tensor in graph.initializer}
    kinds = {node.op_type for node in graph.node}
    scheme: Scheme = "float32"
    if "QuantizeLinear" in kinds:
        scheme = "int8"
    elif any(tensor.data_type == TensorProto.FLOAT16 for tensor in graph.initializer):
        scheme = "float16"
    readers = {name: node for node in reversed(graph.node) for name in node.input}
    makers = {name: node for node in graph.node for name in node.output}
    first = readers[graph.input[0].name]
    first = readers[first.output[0]] if first.op_type == "Transpose" else first
    return Variant(
        id=name,
        scheme=scheme,
        file=f"network/{name}",
        input=_spec(path, graph.input[0], first, constants),
        output=_spec(path, graph.output[0], makers[graph.output[0].name], constants),
        min_runtime=MIN_RUNTIME,
        layers=tuple(_layers(graph, constants, makers)),
        format="onnx",
    )


def _spec(path: Path, value: Any, border: NodeProto, constants: dict[str, TensorProto]) -> TensorSpec:
    """An input or output; ``border`` puts it on its grid or takes it off, where it is int8."""
    tensor = value.type.tensor_type
    dtype, shape = _DTYPES.get(tensor.elem_type), tuple(dim.dim_value for dim in tensor.shape.dim)
    if dtype is None:
        raise ToolError(
            f"{path}: {value.name!r} is {TensorProto.DataType.Name(tensor.elem_type)}, expected FLOAT, INT8"
        )
    if dtype == "float32":
        return TensorSpec(value.name, shape, dtype)
    scale, zero = (numpy_helper.to_array(constants[name]) for name in border.input[1:3])
    return TensorSpec(value.name, shape, dtype, float(scale), int(zero))


def _layers(graph: Any, constants: dict[str, TensorProto], makers: dict[str, NodeProto]) -> list[Layer]:
    """Every operator with weights, in execution order, by how they are stored."""
    found = []
    for index, node in enumerate(graph.node):
        if node.op_type not in _WEIGHTED:
            continue
        source = node.input[1]
        while source in makers and makers[source].op_type in ("DequantizeLinear", "Cast"):
            source = makers[source].input[0]
        if source in constants:
            storage, bits = _STORAGE[constants[source].data_type]
            n = int(np.prod(constants[source].dims))
            found.append(Layer(f"{index:03d}.{node.op_type}", node.op_type, storage, bits, n))
    return found


def run_onnx_file(path: Path, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits (N, classes) of an ONNX file of a bundle, by the device's own runner on the CPU.

    Args:
        path: a network by this module or ``from_tflite``.
        inputs: (N, H, W, C) float32, normalized.
    """
    return open_runner(path.read_bytes(), onnx_variant("network", path), provider="cpu")(inputs)
