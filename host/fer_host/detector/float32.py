"""A detector's tflite file with its weights in float32: MediaPipe's hold float16 and a DEQUANTIZE for each.

The same numbers to the last bit, in a form that ai-edge-quantizer takes: weights that are constants, activations fused
where they can be, operator codes where today's readers look for them, a signature.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def in_float32(content: bytes) -> bytes:
    """The network with float32 constants in the place of dequantized float16 ones, and each RELU in what it follows.

    Args:
        content: of a tflite file with one graph.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    graph, codes = model.subgraphs[0], schema.BuiltinOperator
    for code in model.operatorCodes:  # files of before 2020 have it in the old field alone
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
    kinds = {id(op): model.operatorCodes[op.opcodeIndex].builtinCode for op in graph.operators}
    kept = [op for op in graph.operators if kinds[id(op)] != codes.DEQUANTIZE or not _unpacked(model, graph, op)]
    fusing = (codes.ADD, codes.CONV_2D, codes.DEPTHWISE_CONV_2D)
    graph.operators = _fused(graph, kept, lambda op: kinds[id(op)] == codes.RELU, lambda op: kinds[id(op)] in fusing)
    _without_unused(model, graph)
    if not model.signatureDefs:
        model.signatureDefs = [_signature(graph)]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _unpacked(model: Any, graph: Any, op: Any) -> bool:
    """Stores a float16 constant as float32 at the operator's output; False where its input is no such constant."""
    from ai_edge_litert import schema_py_generated as schema

    source, target = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    data = model.buffers[source.buffer].data
    if data is None or not len(data) or source.type != schema.TensorType.FLOAT16:
        return False
    values = np.frombuffer(bytes(data), np.float16).astype(np.float32)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    target.buffer, target.type = len(model.buffers) - 1, schema.TensorType.FLOAT32
    return True


def _fused(graph: Any, ops: list[Any], is_relu: Any, takes: Any) -> list[Any]:
    """The operators without those RELUs that became a part of the only one before them."""
    from ai_edge_litert import schema_py_generated as schema

    n_readers: dict[int, int] = {}
    for op in ops:
        for index in op.inputs:
            n_readers[int(index)] = n_readers.get(int(index), 0) + 1
    makers = {int(index): op for op in ops for index in op.outputs}
    outputs, kept = {int(index) for index in graph.outputs}, []
    for op in ops:
        source = int(op.inputs[0]) if is_relu(op) else -1
        maker = makers.get(source)
        if maker is not None and takes(maker) and n_readers[source] == 1 and source not in outputs and _is_free(maker):
            maker.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.RELU
            maker.outputs = op.outputs
            continue
        kept.append(op)
    return kept


def _is_free(op: Any) -> bool:
    return bool(op.builtinOptions.fusedActivationFunction == 0)


def _without_unused(model: Any, graph: Any) -> None:
    """Tensors and buffers that nothing reads any more go."""
    used = {int(i) for op in graph.operators for i in (*op.inputs, *op.outputs) if i >= 0}
    used |= {int(i) for i in (*graph.inputs, *graph.outputs)}
    place = {old: new for new, old in enumerate(sorted(used))} | {-1: -1}

    def moved(indices: Any) -> Any:
        return np.array([place[int(i)] for i in indices], dtype=np.int32)

    graph.tensors = [graph.tensors[i] for i in sorted(used)]
    for op in graph.operators:
        op.inputs, op.outputs = moved(op.inputs), moved(op.outputs)
    graph.inputs, graph.outputs = moved(graph.inputs), moved(graph.outputs)
    holders = [*graph.tensors, *(model.metadata or [])]
    buffers = sorted({0, *(holder.buffer for holder in holders)})
    where = {old: new for new, old in enumerate(buffers)}
    model.buffers = [model.buffers[i] for i in buffers]
    for holder in holders:
        holder.buffer = where[holder.buffer]


def _signature(graph: Any) -> Any:
    """Named as its tensors."""
    from ai_edge_litert import schema_py_generated as schema

    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0

    def named(index: Any) -> Any:
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = graph.tensors[int(index)].name, int(index)
        return entry

    signature.inputs, signature.outputs = [named(i) for i in graph.inputs], [named(i) for i in graph.outputs]
    return signature
