"""In what a tflite file's operators compute, what that amounts to, and why a part of it is not int8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fer_host.tflite.inspection import OpInfo, TfliteInfo, constants_of

Scheme = Literal["float32", "dynamic", "int8", "mixed"]
Arithmetic = Literal["float32", "dynamic", "int8", "other", "border"]

_BORDER = ("QUANTIZE", "DEQUANTIZE")


@dataclass(frozen=True)
class OpNote:
    """Why an operator is not int8."""

    index: int
    type: str
    reason: str


@dataclass(frozen=True)
class TensorNote:
    """Why a tensor is not int8."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    reason: str


def scheme_of(info: TfliteInfo) -> Scheme:
    """What the file really is, as a manifest's ``variants[].scheme`` says it.

    ``float32``: every operator computes on float32 with float32 weights. ``int8``: every operator computes on int8
    with int8 weights (32-bit biases); converting at the inputs and outputs is allowed. ``dynamic``: activations are
    float32, some weights int8. ``mixed``: everything else.
    """
    found = {arithmetic(info, op) for op in info.ops} - {"border"}
    if found == {"int8"}:
        return "int8"
    if found <= {"float32"}:
        return "float32"
    return "dynamic" if found <= {"float32", "dynamic"} else "mixed"


def arithmetic(info: TfliteInfo, op: OpInfo) -> Arithmetic:
    """In what an operator computes; "border" where it only converts between float and int8."""
    activations = {info.tensors[i].dtype for i in (*op.inputs, *op.outputs) if i >= 0 and not info.tensors[i].constant}
    if op.type in _BORDER and activations == {"int8"}:
        return "int8"  # from one scale to another
    if op.type in _BORDER:
        # dequantizing a constant means weights stored small and computed with in float
        return "other" if any(i >= 0 and info.tensors[i].constant for i in op.inputs) else "border"
    weights = {tensor.dtype for tensor in constants_of(info, op)}
    data = activations - {"int32", "int64", "bool"}
    if not data:
        return "border"  # shapes and indices only
    if data == {"int8"} and weights <= {"int8"}:
        return "int8"
    if data == {"float32"} and weights <= {"float32"}:
        return "float32"
    if data == {"float32"} and weights <= {"float32", "int8"}:
        return "dynamic"
    return "other"


def not_int8(info: TfliteInfo, supported: frozenset[str] | None = None) -> tuple[OpNote, ...]:
    """Every operator that does not compute in int8, with the reason.

    Args:
        info: the file.
        supported: operators that the quantizer can make int8 (``int8.static_int8_operators()``), to say which
            were out of its reach; None leaves that out.
    """
    notes = []
    for op in info.ops:
        kind = arithmetic(info, op)
        if kind == "int8":
            continue
        if kind == "border":
            reason = "converts between float and int8"
        else:
            activations = sorted({info.tensors[i].dtype for i in op.outputs})
            weights = sorted({tensor.dtype for tensor in constants_of(info, op)})
            reason = f"activations {'/'.join(activations)}" + (f", weights {'/'.join(weights)}" if weights else "")
            if supported is not None and op.type not in supported:
                reason += f"; ai-edge-quantizer has no static int8 {op.type}"
        notes.append(OpNote(op.index, op.type, reason))
    return tuple(notes)


def tensors_not_int8(info: TfliteInfo) -> tuple[TensorNote, ...]:
    """Every tensor that is used and is not int8, with the reason; in an int8 network, biases and shapes alone."""
    notes = []
    for tensor in info.tensors:
        readers = [op for op in info.ops if tensor.index in op.inputs]
        writers = [op for op in info.ops if tensor.index in op.outputs]
        if tensor.dtype == "int8" or not (readers or writers):
            continue
        if tensor.constant and tensor.dtype == "int32" and tensor.scales:
            reason = "bias, added to 32-bit sums"
        elif tensor.constant and tensor.dtype in ("int32", "int64", "bool"):
            reason = "axes, shape, padding or slice, not data"
        elif tensor.constant:
            reason = f"weights of {readers[0].type}, which is not int8"
        elif any(op.type in _BORDER for op in (*readers, *writers)):
            reason = "the float side of a conversion"
        else:
            reason = f"activation of {(*writers, *readers)[0].type}, which is not int8"
        notes.append(TensorNote(tensor.name, tensor.shape, tensor.dtype, reason))
    return tuple(notes)
