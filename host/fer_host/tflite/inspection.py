"""What a tflite file really holds: tensors, operators, dtypes. Reads the file itself; runs and changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.contract.manifest import Layer
from fer_edge.contract.specs import TensorSpec
from fer_host.errors import DataError

_BITS = {"float32": 32, "float16": 16, "int16": 16, "int8": 8, "uint8": 8, "int4": 4, "int2": 2}


@dataclass(frozen=True)
class TensorInfo:
    """One tensor.

    Attributes:
        index: position in the file.
        name: the converter's name; changes from run to run.
        shape: as stored, (1, H, W, C) for feature maps.
        dtype: lower-case tflite type: float32, int8, int4, int32, ...
        constant: True where the file holds its values (weights, biases, axes).
        scales: one for the tensor or one per channel; empty where not quantized.
        zero_points: as many as ``scales``.
        integers: the values of a small integer constant (axes, paddings, a shape); empty for everything else.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    constant: bool
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    integers: tuple[int, ...] = ()


@dataclass(frozen=True)
class OpInfo:
    """One operator, in execution order; ``inputs`` and ``outputs`` are tensor indices (-1: an absent input)."""

    index: int
    type: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class TfliteInfo:
    """A tflite file's main graph.

    Attributes:
        path: the file.
        size_bytes: its size.
        tensors: all tensors, by index.
        ops: all operators, in execution order.
        inputs: the graph's inputs as a manifest states them, named by the signature where there is one.
        outputs: the graph's outputs, likewise.
        input_indices: tensor index of each input.
        output_indices: tensor index of each output.
        min_runtime: the converter's "min_runtime_version"; empty where it wrote none.
    """

    path: Path
    size_bytes: int
    tensors: tuple[TensorInfo, ...]
    ops: tuple[OpInfo, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    input_indices: tuple[int, ...]
    output_indices: tuple[int, ...]
    min_runtime: str

    @property
    def dtypes(self) -> dict[str, int]:
        """Number of tensors of each dtype."""
        return dict(Counter(tensor.dtype for tensor in self.tensors))

    @property
    def layers_by_operator(self) -> dict[int, Layer]:
        """Operator index -> how its weights are stored, of every operator with weights; in execution order."""
        found = {}
        for op in self.ops:
            weights = _weights(self, op)
            if weights:
                n_weights = sum(int(np.prod(tensor.shape)) for tensor in weights)
                storage: Any = weights[0].dtype
                bits = float(_BITS[storage])
                found[op.index] = Layer(f"{op.index:03d}.{op.type}", op.type, storage, bits, n_weights)
        return found

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Every operator with weights, by how they are stored; effective bits are the storage's."""
        return tuple(self.layers_by_operator.values())


def inspect_tflite(path: Path) -> TfliteInfo:
    """Reads a tflite file without running it.

    Raises:
        DataError: not a tflite file, or it has more than one graph.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise DataError(f"{path}: not a tflite file (bytes 4 to 8 are {content[4:8]!r}, expected b'TFL3')")
    model = flatbuffer_utils.read_model_from_bytearray(content)
    if len(model.subgraphs) != 1:
        raise DataError(f"{path}: found {len(model.subgraphs)} graphs, expected 1")
    graph = model.subgraphs[0]
    type_names = {code: name.lower() for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
    tensors = tuple(_tensor(i, tensor, model, type_names[tensor.type]) for i, tensor in enumerate(graph.tensors))
    ops = tuple(_op(i, op, model, flatbuffer_utils.opcode_to_name) for i, op in enumerate(graph.operators))
    signature = (model.signatureDefs or [None])[0]
    named = (
        {entry.tensorIndex: _text(entry.name) for entry in (*signature.inputs, *signature.outputs)} if signature else {}
    )
    inputs, outputs = tuple(map(int, graph.inputs)), tuple(map(int, graph.outputs))
    return TfliteInfo(
        path=path,
        size_bytes=len(content),
        tensors=tensors,
        ops=ops,
        inputs=tuple(_spec(tensors[i], named.get(i)) for i in inputs),
        outputs=tuple(_spec(tensors[i], named.get(i)) for i in outputs),
        input_indices=inputs,
        output_indices=outputs,
        min_runtime=_metadata(model, "min_runtime_version"),
    )


def constants_of(info: TfliteInfo, op: OpInfo) -> list[TensorInfo]:
    """An operator's constant inputs that are numbers to compute with: no biases in int32, no axes or shapes."""
    tensors = [info.tensors[i] for i in op.inputs if i >= 0]
    return [tensor for tensor in tensors if tensor.constant and tensor.dtype not in ("int32", "int64", "bool")]


def _weights(info: TfliteInfo, op: OpInfo) -> list[TensorInfo]:
    """Kernels, matrices and PReLU slopes, without biases: the constant at an operator's second input."""
    second = [tensor for tensor in constants_of(info, op) if tensor.index == (*op.inputs, -1, -1)[1]]
    return [tensor for tensor in second if tensor.dtype in _BITS]


def _tensor(index: int, tensor: Any, model: Any, dtype: str) -> TensorInfo:
    data = model.buffers[tensor.buffer].data
    constant = data is not None and len(data) > 0
    quantization = tensor.quantization
    scales = () if quantization is None or quantization.scale is None else tuple(map(float, quantization.scale))
    zero_points = () if not scales or quantization.zeroPoint is None else tuple(map(int, quantization.zeroPoint))
    shape = () if tensor.shape is None else tuple(map(int, tensor.shape))
    integers: tuple[int, ...] = ()
    if constant and not scales and dtype in ("int32", "int64"):
        integers = tuple(map(int, np.frombuffer(bytes(data), dtype=dtype)))
    return TensorInfo(index, _text(tensor.name), shape, dtype, constant, scales, zero_points, integers)


def _op(index: int, op: Any, model: Any, opcode_to_name: Callable[[Any, int], str | None]) -> OpInfo:
    code = model.operatorCodes[op.opcodeIndex]
    name = _text(code.customCode) if code.customCode else opcode_to_name(model, op.opcodeIndex)
    options = {
        key: _plain(value)
        for part in (op.builtinOptions, op.builtinOptions2)
        if part
        for key, value in vars(part).items()
    }
    if op.customOptions is not None:
        options["custom"] = bytes(op.customOptions).hex()
    return OpInfo(index, str(name), tuple(map(int, op.inputs)), tuple(map(int, op.outputs)), options)


def _spec(tensor: TensorInfo, name: str | None) -> TensorSpec:
    scale, zero_point = (tensor.scales or (1.0,))[0], (tensor.zero_points or (0,))[0]
    dtype: Any = tensor.dtype  # the manifest's reader refuses other dtypes than it knows
    return TensorSpec(name or tensor.name, tensor.shape, dtype, scale, zero_point)


def _metadata(model: Any, name: str) -> str:
    for entry in model.metadata or []:
        if _text(entry.name) == name:
            return bytes(model.buffers[entry.buffer].data).rstrip(b"\0").decode(errors="replace")
    return ""


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _plain(value: Any) -> Any:
    """Flatbuffer attribute values as JSON can hold them."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else repr(sorted(vars(value).items()))
