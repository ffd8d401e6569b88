"""``fer-host probes``: one small tflite file for every distinct operator of a network, for a board to time.

Operators are cut out of the file with their own weights. The same operators with fewer channels come beside them, so
that a table also knows about networks that are pruned later.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.contract.bundle import PROBES, files_of_probes, open_bundle
from fer_edge.contract.latency import EMPTY, INDEX_NAME, Probe, ProbesDoc, dump_probes
from fer_edge.contract.replace import replace_folder
from fer_host.boards.of_tflite import chains, describe, running_inputs
from fer_host.boards.operators import Operator
from fer_host.errors import DataError
from fer_host.tflite.inspection import OpInfo, TfliteInfo, inspect_tflite

SHARES = (0.75, 0.5, 0.25)  # of the channels
MIN_CHANNELS = 8  # fewer (colors, classes) stay as they are
_SCALED = {  # operators whose last axis may shrink, with the axes of their constants: input channels, output channels
    "CONV_2D": (3, 0),
    "DEPTHWISE_CONV_2D": (None, 3),
    "FULLY_CONNECTED": (1, 0),
    "ADD": None,
    "MUL": None,
    "MEAN": None,
    "PAD": None,
    "RELU": None,
    "RELU6": None,
    "LOGISTIC": None,
    "MAX_POOL_2D": None,
    "AVERAGE_POOL_2D": None,
}


def write_probes(networks: Sequence[tuple[str, Path]], target: Path, shares: Sequence[float] = SHARES) -> ProbesDoc:
    """Writes the files and ``probes.json`` into a new folder; the folder is there whole or not at all.

    Args:
        networks: (name, tflite file), cut one after another; an operator they share is written once.
        target: the folder; an older one is replaced.
        shares: of the channels, besides all of them.

    Raises:
        BundleError: the folder is there and holds something else than older probes.
        DataError: a file is no tflite file.
    """
    rows: list[ProbesDoc] = []

    def fill(folder: Path) -> None:
        rows.append(ProbesDoc(tuple(name for name, _ in networks), _write(networks, folder, shares)))
        (folder / INDEX_NAME).write_text(dump_probes(rows[0]))

    replace_folder(target, fill, files_of_probes)
    return rows[0]


def probes_of(sources: Sequence[Path], variants: Sequence[str] | None, out: Path | None) -> tuple[ProbesDoc, Path]:
    """What ``fer-host probes`` does; gives the index and the folder.

    Args:
        sources: bundles, or tflite files.
        variants: of the bundles; None takes all of each.
        out: the folder; None is ``probes`` in the first source, which must be a bundle then.

    Raises:
        DataError: nothing to cut.
        BundleError: no such bundle.
    """
    if out is None and not sources[0].is_dir():
        raise DataError(f"{sources[0]}: is no bundle; expected one, or a folder for the probes with --out")
    target = out or sources[0] / PROBES
    with tempfile.TemporaryDirectory() as scratch:
        networks: list[tuple[str, Path]] = []
        for i, source in enumerate(sources):
            if source.is_file():
                networks.append((source.stem, source))
                continue
            manifest = (bundle := open_bundle(source)).manifest
            for variant in [manifest.variant(name) for name in variants] if variants else manifest.variants:
                path = Path(scratch) / f"{i}-{variant.id}.tflite"
                path.write_bytes(bundle.read(variant.file))
                networks.append((f"{manifest.model_id} {variant.id}", path))
        return write_probes(networks, target), target


def _write(networks: Sequence[tuple[str, Path]], folder: Path, shares: Sequence[float]) -> tuple[Probe, ...]:
    kept: dict[Operator, Probe] = {}
    for share in (1.0, *shares):
        for _, path in networks:
            for operator, content in _cut(path, share):
                if operator in kept:
                    if share == 1.0:
                        kept[operator] = _again(kept[operator])
                    continue
                name = f"{len(kept):03d}-{operator.op.lower()}.tflite"
                kept[operator] = _stored(folder, name, content, operator, share)
    empty = Operator(EMPTY, (), (1, 1), (1, 1), "float32")
    return _stored(folder, "empty.tflite", _empty_network(), empty, 1.0), *kept.values()


def _again(probe: Probe) -> Probe:
    return dataclasses.replace(probe, count=probe.count + 1)


def _stored(folder: Path, name: str, content: bytes, operator: Operator, share: float) -> Probe:
    (folder / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    attrs = dict(operator.attrs)
    return Probe(name, digest, operator.op, attrs, operator.in_shape, operator.out_shape, operator.dtype, 1, share)


def _cut(path: Path, share: float) -> Iterator[tuple[Operator, bytes]]:
    """Every running operator of a file as a file of its own, with a share of its channels."""
    from ai_edge_litert.tools import flatbuffer_utils

    info = inspect_tflite(path)
    model = flatbuffer_utils.read_model_from_bytearray(path.read_bytes())
    with tempfile.TemporaryDirectory() as scratch:
        for chain in chains(info):
            if share != 1.0 and not all(op.type in _SCALED for op in chain):
                continue
            cut = _alone(model, info, chain, share)
            if cut is None:
                continue
            content = bytes(flatbuffer_utils.convert_object_to_bytearray(cut))
            file = Path(scratch) / "probe.tflite"
            file.write_bytes(content)
            alone = inspect_tflite(file)
            yield describe(alone, alone.ops), content


def _alone(model: Any, info: TfliteInfo, chain: tuple[OpInfo, ...], share: float) -> Any:
    """A model of one operator with what is fused into it; None where nothing of it can shrink."""
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    frozen = _frozen_constants(model, info)
    made = {i for op in chain for i in op.outputs}
    runs = [t.index for op in chain for t in running_inputs(info, op) if t.index not in made]
    cut, part = schema.ModelT(), schema.SubGraphT()
    cut.version, cut.description, cut.metadata = model.version, "fer-edge probe", []
    cut.operatorCodes, cut.buffers = [], [schema.BufferT()]
    part.name, part.tensors, part.operators = "main", [], []
    places: dict[int, int] = {}
    changed = False
    for op in chain:
        source = graph.operators[op.index]
        for index in dict.fromkeys([*op.inputs, *op.outputs]):
            if index < 0 or index in places:
                continue
            tensor = copy.deepcopy(graph.tensors[index])
            data = frozen.get(index)
            if data is None and index not in runs and index not in made:
                data = model.buffers[graph.tensors[index].buffer].data
            changed |= _shrink(tensor, op, info, index, share)
            tensor.buffer, tensor.isVariable = 0, False
            if data is not None and len(data):
                content = _shrunk(data, info, index, tuple(map(int, tensor.shape)), index in frozen)
                buffer = schema.BufferT()
                buffer.data = np.frombuffer(content, dtype=np.uint8)
                tensor.buffer = len(cut.buffers)
                cut.buffers.append(buffer)
                if index in frozen:
                    tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None
            places[index] = len(part.tensors)
            part.tensors.append(tensor)
        operator = copy.deepcopy(source)
        operator.opcodeIndex = len(cut.operatorCodes)
        cut.operatorCodes.append(copy.deepcopy(model.operatorCodes[source.opcodeIndex]))
        operator.inputs, operator.outputs = [places.get(i, -1) for i in op.inputs], [places[i] for i in op.outputs]
        part.operators.append(operator)
    if share != 1.0 and not changed:
        return None
    part.inputs = [places[i] for i in dict.fromkeys(runs)]
    part.outputs = part.operators[-1].outputs
    cut.subgraphs = [part]
    return cut


def _frozen_constants(model: Any, info: TfliteInfo) -> dict[int, bytes]:
    """Weights stored as float16 and dequantized by an operator: as float32, which is what the kernel sees."""
    found = {}
    for op in info.ops:
        source = info.tensors[op.inputs[0]] if op.inputs and op.inputs[0] >= 0 else None
        if op.type == "DEQUANTIZE" and source is not None and source.constant and source.dtype == "float16":
            stored = bytes(model.buffers[model.subgraphs[0].tensors[source.index].buffer].data)
            found[op.outputs[0]] = np.frombuffer(stored, dtype=np.float16).astype(np.float32).tobytes()
    return found


def _axes(op: OpInfo, info: TfliteInfo, index: int) -> list[int]:
    """Axes of a tensor that are channels of this operator."""
    shape = info.tensors[index].shape
    roles = _SCALED.get(op.type)
    if index in op.outputs or index == op.inputs[0] or (roles is None and not info.tensors[index].constant):
        return [len(shape) - 1] if shape else []
    if roles is None:
        return []  # axes, paddings
    if index == op.inputs[1]:
        return [axis for axis in roles if axis is not None]
    return [0]  # biases


def _keep(channels: int, share: float) -> int:
    return channels if channels < 2 * MIN_CHANNELS else max(MIN_CHANNELS, round(channels * share))


def _shrink(tensor: Any, op: OpInfo, info: TfliteInfo, index: int, share: float) -> bool:
    """Takes channels off a tensor's shape and its scales; True where there were some to take."""
    if share == 1.0:
        return False
    shape = [int(side) for side in tensor.shape]
    before = list(shape)
    for axis in _axes(op, info, index):
        shape[axis] = _keep(shape[axis], share)
    tensor.shape = shape
    tensor.shapeSignature = None
    quantization = tensor.quantization
    if quantization is not None and quantization.scale is not None and len(quantization.scale) > 1:
        n = shape[quantization.quantizedDimension]
        quantization.scale = quantization.scale[:n]
        if quantization.zeroPoint is not None:
            quantization.zeroPoint = quantization.zeroPoint[:n]
    return shape != before


def _shrunk(data: Any, info: TfliteInfo, index: int, shape: tuple[int, ...], frozen: bool) -> bytes:
    """A constant's bytes with the first channels of each axis."""
    tensor = info.tensors[index]
    raw = bytes(data)
    if tensor.shape == shape:
        return raw
    dtype = np.dtype("float32" if frozen else tensor.dtype)
    values = np.frombuffer(raw, dtype=dtype).reshape(tensor.shape)
    return np.ascontiguousarray(values[tuple(slice(0, side) for side in shape)]).tobytes()


def _empty_network() -> bytes:
    """One number through one RELU: what a call of the interpreter costs."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model, part = schema.ModelT(), schema.SubGraphT()
    model.version, model.description, model.metadata = 3, "fer-edge probe", []
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RELU
    code.version = 1
    model.operatorCodes, model.buffers = [code], [schema.BufferT()]
    part.name, part.tensors = "main", []
    for name in ("input", "output"):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, [1, 1], schema.TensorType.FLOAT32, 0
        part.tensors.append(tensor)
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0], [1]
    part.operators, part.inputs, part.outputs = [operator], [0], [1]
    model.subgraphs = [part]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
