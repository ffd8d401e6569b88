"""An ONNX graph in the making, out of a tflite file: names, constants, layouts, and the numbers' grids (QDQ).

A tflite feature map is (1, H, W, C) and lies in the graph as (1, C, H, W). Each int8 tensor becomes the pair
QuantizeLinear, DequantizeLinear with the very scale of the file. Between the network's ends it is stored as uint8, all
numbers and the zero point 128 higher: the same real values, and the form that onnxruntime's kernels for x86 take.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from fer_host.errors import ToolError
from fer_host.models.onnx_file import OPSET
from fer_host.tflite.constants import read_constants
from fer_host.tflite.inspection import OpInfo, TensorInfo, TfliteInfo, inspect_tflite

IR_VERSION = 8  # of ONNX 1.12, which opset 17 came with
TO_NCHW, TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]
Array = NDArray[Any]


class GraphBuilder:
    """Nodes and constants of a graph that computes what a tflite file does.

    Args:
        path: the tflite file: every activation float32 or int8.
        any_size: height and width of the one input are left open.
    """

    info: TfliteInfo
    any_size: bool

    def __init__(self, path: Path, any_size: bool = False) -> None:
        self.info = inspect_tflite(path)
        self.any_size = any_size
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._path = path
        self._values: dict[int, str] = {}  # tensor index -> its values in the graph, as stored
        stored = [tensor.index for tensor in self.info.tensors if tensor.constant]
        self._stored = read_constants(path, stored)
        self._folded: dict[int, Array] = {}
        self.margins: dict[int, tuple[int, list[int]]] = {}  # a padded tensor -> what it is of, and its margins

    # -- constants

    def constant(self, value: Array) -> str:
        """A new constant's name."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def is_constant(self, index: int) -> bool:
        """Whether the file holds a tensor's values, or they follow from such alone."""
        return self.info.tensors[index].constant or index in self._folded

    def stored(self, index: int) -> Array:
        """A constant tensor's values as they lie in the file; those of halves as float32."""
        return self._folded[index] if index in self._folded else self._stored[index]

    def fold(self, index: int, value: Array) -> None:
        """Makes a tensor a constant."""
        self._folded[index] = value

    def weights(self, index: int, value: Array) -> str:
        """A constant in another shape whose channels come first: real values, from int8 by each channel's scale."""
        tensor = self.info.tensors[index]
        if value.dtype not in (np.int8, np.int32):
            return self.constant(value.astype(np.float32))
        scales = np.array(tensor.scales, dtype=np.float32)
        zeros = np.array(tensor.zero_points, dtype=value.dtype)
        if len(scales) == 1:
            return self.node("DequantizeLinear", self.constant(value), self._scalar(scales), self._scalar(zeros))
        names = (self.constant(value), self.constant(scales), self.constant(zeros))
        return self.node("DequantizeLinear", *names, axis=0)

    def _scalar(self, value: Array) -> str:
        return self.constant(value.reshape(()))

    # -- values

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Adds an operator; the name of its output."""
        output = output or f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def value(self, index: int) -> str:
        """A tensor's real values, in the graph's layout; each reader of an int8 one gets a DequantizeLinear of its own.

        onnxruntime computes in int8 only where it finds an operator between such pairs of its own.
        """
        tensor = self.info.tensors[index]
        if self.is_constant(index):
            stored = self.stored(index)
            return self.weights(index, stored.transpose(TO_NCHW) if stored.ndim == 4 else stored)
        if index not in self._values:
            raise ToolError(f"{self._path}: tensor {index} is used before it is computed")
        name = self._values[index]
        return self._dequantized(tensor, name) if tensor.dtype == "int8" else name

    def give(self, op: OpInfo, name: str) -> None:
        """The real values of an operator's one output, put on the grid where the file has it in int8."""
        (index,) = op.outputs
        tensor = self.info.tensors[index]
        self._values[index] = self._quantized(tensor, name) if tensor.dtype == "int8" else name

    def on_grid(self, tensor: TensorInfo, name: str) -> str:
        """Real values after a tensor's grid; the same where it is float32."""
        if tensor.dtype != "int8":
            return name
        return self._dequantized(tensor, self._quantized(tensor, name))

    def _grid(self, tensor: TensorInfo, is_end: bool) -> tuple[str, str]:
        zero = np.array(tensor.zero_points, np.int16)
        zero = zero.astype(np.int8) if is_end else (zero + 128).astype(np.uint8)
        return self._scalar(np.array(tensor.scales, np.float32)), self._scalar(zero)

    def _quantized(self, tensor: TensorInfo, name: str, end: str | None = None) -> str:
        return self.node("QuantizeLinear", name, *self._grid(tensor, end is not None), output=end)

    def _dequantized(self, tensor: TensorInfo, name: str, is_end: bool = False) -> str:
        return self.node("DequantizeLinear", name, *self._grid(tensor, is_end))

    def rank(self, index: int) -> int:
        """Number of axes."""
        return len(self.info.tensors[index].shape)

    def axis(self, index: int, axis: int) -> int:
        """An axis of a tensor of the file, in the graph's layout."""
        rank = self.rank(index)
        axis %= rank
        return TO_NCHW.index(axis) if rank == 4 else axis

    # -- the whole

    def begin(self) -> None:
        """The graph's inputs, channels last and stored as the file has them."""
        for spec, index in zip(self.info.inputs, self.info.input_indices, strict=True):
            name = spec.name
            if self.rank(index) == 4:
                name = self.node("Transpose", name, perm=TO_NCHW)
            tensor = self.info.tensors[index]
            if tensor.dtype == "int8":
                name = self._quantized(tensor, self._dequantized(tensor, name, is_end=True))
            self._values[index] = name

    def finish(self) -> onnx.ModelProto:
        """The checked network, with inputs and outputs as the file has them.

        Raises:
            ToolError: it is no sound ONNX network.
        """
        for spec, index in zip(self.info.outputs, self.info.output_indices, strict=True):
            tensor, name = self.info.tensors[index], self.value(index)
            if self.rank(index) == 4:
                name = self.node("Transpose", name, perm=TO_NHWC)
            if tensor.dtype == "int8":
                self._quantized(tensor, name, end=spec.name)
            else:
                self.node("Identity", name, output=spec.name)
        types = {"float32": TensorProto.FLOAT, "int8": TensorProto.INT8}
        free = (self.info.input_indices[0],) if self.any_size else ()
        ends = [
            [
                helper.make_tensor_value_info(spec.name, types[spec.dtype], self._shape(index, index in free))
                for spec, index in zip(specs, indices, strict=True)
            ]
            for specs, indices in (
                (self.info.inputs, self.info.input_indices),
                (self.info.outputs, self.info.output_indices),
            )
        ]
        graph = helper.make_graph(self._nodes, "network", *ends, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        try:
            onnx.checker.check_model(model)
        except onnx.checker.ValidationError as error:
            raise ToolError(f"{self._path}: as ONNX it is not sound ({str(error).splitlines()[0]})") from error
        return model

    def _shape(self, index: int, is_free: bool) -> list[int | str]:
        shape: list[int | str] = list(self.info.tensors[index].shape)
        if self.any_size and len(shape) == 4:
            shape[1:3] = ("height", "width") if is_free else ("rows", "columns")
        return shape
