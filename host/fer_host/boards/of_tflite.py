"""The operators that run in a tflite file, with what a delegate fuses."""

from __future__ import annotations

from pathlib import Path

from fer_host.boards.operators import Operator
from fer_host.tflite.inspection import OpInfo, TensorInfo, TfliteInfo, inspect_tflite

_PADDING = {0: "same", 1: "valid"}
_ACTIVATION = {0: "none", 1: "relu", 2: "relu_n1_to_1", 3: "relu6"}
_BORDER = ("QUANTIZE", "DEQUANTIZE")
# XNNPACK computes these with the operator before or behind them: alone they would cost what they do not cost there
_PADDED = ("CONV_2D", "DEPTHWISE_CONV_2D")
_CLAMPED = (*_PADDED, "ADD", "SUB", "MUL", "FULLY_CONNECTED", "MAX_POOL_2D", "AVERAGE_POOL_2D")
_CLAMPS = {"RELU": "relu", "RELU6": "relu6", "RELU_N1_TO_1": "relu_n1_to_1"}


def operators_of_tflite(path: Path) -> list[Operator]:
    """What runs in a file, in order; conversions of constants, which happen once, are left out."""
    info = inspect_tflite(path)
    return [describe(info, chain) for chain in chains(info)]


def chains(info: TfliteInfo) -> list[tuple[OpInfo, ...]]:
    """The operators that run, those together that a delegate fuses: PAD, convolution, RELU.

    Only where nobody else reads what passes between them.
    """
    running = [op for op in info.ops if running_inputs(info, op)]
    readers: dict[int, list[OpInfo]] = {}
    for op in running:
        for i in {*op.inputs}:
            readers.setdefault(i, []).append(op)

    def next_of(op: OpInfo) -> OpInfo | None:
        following = readers.get(op.outputs[0], [])
        return following[0] if len(following) == 1 and op.outputs[0] not in info.output_indices else None

    found = []
    taken: set[int] = set()
    for op in running:
        if op.index in taken:
            continue
        chain = [op]
        behind = next_of(op)
        if op.type == "PAD" and behind is not None and behind.type in _PADDED:
            chain.append(behind)
            behind = next_of(behind)
        plain = chain[-1].type in _CLAMPED and chain[-1].attributes.get("fusedActivationFunction", 0) == 0
        if plain and behind is not None and behind.type in _CLAMPS:
            chain.append(behind)
        taken |= {part.index for part in chain}
        found.append(tuple(chain))
    return found


def running_inputs(info: TfliteInfo, op: OpInfo) -> list[TensorInfo]:
    """The inputs that change from run to run."""
    frozen = {i for other in info.ops if other.type in _BORDER and _is_constant(info, other) for i in other.outputs}
    tensors = [info.tensors[i] for i in op.inputs if i >= 0 and i not in frozen]
    return [tensor for tensor in tensors if not tensor.constant]


def _is_constant(info: TfliteInfo, op: OpInfo) -> bool:
    return all(info.tensors[i].constant for i in op.inputs if i >= 0)


def describe(info: TfliteInfo, chain: tuple[OpInfo, ...]) -> Operator:
    """One operator of a file, with what is fused into it."""
    op = next((part for part in chain if part.type not in ("PAD", *_CLAMPS)), chain[0])
    first, output = running_inputs(info, chain[0])[0], info.tensors[chain[-1].outputs[0]]
    options, attrs = op.attributes, {}
    weights = info.tensors[op.inputs[1]] if len(op.inputs) > 1 and op.inputs[1] >= 0 else None
    if op.type in ("CONV_2D", "DEPTHWISE_CONV_2D") and weights is not None:
        attrs["kernel"] = f"{weights.shape[1]}x{weights.shape[2]}"
    elif "filterHeight" in options:
        attrs["kernel"] = f"{options['filterHeight']}x{options['filterWidth']}"
    if "strideH" in options:
        attrs["stride"] = f"{options['strideH']}x{options['strideW']}"
        attrs["padding"] = _PADDING.get(options["padding"], "same")
    if options.get("depthMultiplier", 1) not in (0, 1):
        attrs["multiplier"] = str(options["depthMultiplier"])
    if options.get("dilationHFactor", 1) not in (0, 1):
        attrs["dilation"] = f"{options['dilationHFactor']}x{options['dilationWFactor']}"
    if "fusedActivationFunction" in options:
        attrs["activation"] = _ACTIVATION.get(options["fusedActivationFunction"], "other")
    if chain[-1] is not op:
        attrs["activation"] = _CLAMPS[chain[-1].type]
    if chain[0] is not op:
        attrs["pad"] = "1"
    dtype = first.dtype
    heavy = op.type in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    if heavy and weights is not None and weights.constant and weights.dtype not in (dtype, "float16"):
        dtype = f"{dtype}/{weights.dtype}"
    return Operator(op.type, tuple(attrs.items()), first.shape, output.shape, dtype)
