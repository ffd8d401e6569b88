"""Activation ranges: observed on calibration inputs, kept as JSON without the inputs, bound to a graph and its weights.

A range belongs to the operator that produces the tensor ("017.CONV_2D.0": 17th operator, first output), because the
converter invents new tensor names in every run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract import codec
from fer_edge.contract.errors import SchemaError
from fer_edge.contract.regular import read_regular
from fer_host.errors import DataError
from fer_host.files.artifacts import digest_json, write_bytes
from fer_host.tflite.inspection import TfliteInfo, inspect_tflite
from fer_host.tflite.run import open_interpreter

SCHEMA = "fer-edge/ranges/1"
Method = Literal["minmax", "percentile", "moving_average"]

_REMEDY = (
    "give photos with CALIB=FOLDER, or make a set with "
    "`fer-host calibrate NAME --data FOLDER [--weights FILE]` and give CALIB=NAME; "
    "ranges of tuned weights are measured anew by `fer-host calibrate NAME --tuned FILE --data NPZ`"
)
_SMOOTHING = 0.95  # of ai-edge-quantizer's own moving average


@dataclass(frozen=True)
class ActivationRanges:
    """The range of every activation of one network.

    Attributes:
        graph_sha256: ``graph_digest`` of the float tflite they were observed on.
        weights_sha256: digest of the weights it was made from.
        method: how single inputs' extremes became one range; see ``summarize``.
        n_inputs: number of calibration inputs.
        ranges: (min, max) by producing operator, real values.
        calibration_set: the set's name, where it has one.
    """

    graph_sha256: str
    weights_sha256: str
    method: str
    n_inputs: int
    ranges: dict[str, tuple[float, float]]
    calibration_set: str | None = None


@dataclass(frozen=True)
class Extremes:
    """Smallest and largest value of every activation on every input: ``low``, ``high`` are (inputs, keys) float32."""

    keys: tuple[str, ...]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


def activation_keys(info: TfliteInfo) -> dict[str, int]:
    """Key of every float32 activation -> its tensor index, in execution order."""
    keys = {f"input.{position}": tensor for position, tensor in enumerate(info.input_indices)}
    for op in info.ops:
        keys |= {f"{op.index:03d}.{op.type}.{position}": tensor for position, tensor in enumerate(op.outputs)}
    return {key: index for key, index in keys.items() if info.tensors[index].dtype == "float32"}


def graph_digest(info: TfliteInfo) -> str:
    """Digest of the topology: operator types, attributes, wiring, shapes, dtypes, integer constants (axes, paddings).

    Weight values and all names are left out: two conversions of networks that differ only in those have one digest.
    """
    references: dict[int, list[object]] = {}
    for tensor in info.tensors:
        if tensor.constant:
            references[tensor.index] = ["constant", tensor.dtype, list(tensor.shape), list(tensor.integers)]
    for position, index in enumerate(info.input_indices):
        references[index] = ["input", position, info.tensors[index].dtype, list(info.tensors[index].shape)]
    ops = []
    for op in info.ops:
        inputs = [references.get(index, ["absent"]) for index in op.inputs]
        outputs = [[info.tensors[index].dtype, list(info.tensors[index].shape)] for index in op.outputs]
        ops.append([op.type, op.attributes, inputs, outputs])
        references |= {index: ["operator", op.index, position] for position, index in enumerate(op.outputs)}
    return digest_json([ops, [references[index] for index in info.output_indices]])


def observe(float_tflite: Path, inputs: Iterable[NDArray[np.float32]]) -> Extremes:
    """Runs the float network on every input and notes each activation's extremes.

    Args:
        float_tflite: a float32 network with one input.
        inputs: (1, H, W, 3) float32 each, normalized; any number, read once.

    Raises:
        DataError: no input, an input of another shape, or a value that is not finite.
    """
    info = inspect_tflite(float_tflite)
    keys = activation_keys(info)
    interpreter = open_interpreter(float_tflite, keep_all=True)
    source = info.input_indices[0]
    low, high = [], []
    for number, value in enumerate(inputs):
        if value.shape != info.tensors[source].shape:
            raise DataError(
                f"calibration input {number}: found shape {value.shape}, expected {info.tensors[source].shape}"
            )
        interpreter.set_tensor(source, value.astype(np.float32, copy=False))
        interpreter.invoke()
        activations = [interpreter.get_tensor(index) for index in keys.values()]
        low.append([activation.min() for activation in activations])
        high.append([activation.max() for activation in activations])
    if not low:
        raise DataError("calibration: found no input, expected at least 1")
    extremes = Extremes(tuple(keys), np.array(low, dtype=np.float32), np.array(high, dtype=np.float32))
    finite = np.isfinite(extremes.low) & np.isfinite(extremes.high)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise DataError(
            f"calibration input {row}: activation {extremes.keys[column]} is not finite; look at that input"
        )
    return extremes


def summarize(
    extremes: Extremes, method: Method = "minmax", percentile: float = 99.0
) -> dict[str, tuple[float, float]]:
    """One range per activation from every input's extremes.

    Args:
        extremes: of n inputs.
        method: "minmax": the outermost; "percentile": of the per-input maxima the given percentile, of the minima
            100 minus it, which cuts off what only rare inputs reach; "moving_average": 0.95 old + 0.05 new over the
            inputs in order, ai-edge-quantizer's own.
        percentile: 50 to 100.

    Returns:
        key -> (min, max).
    """
    low, high = extremes.low, extremes.high
    if method == "minmax":
        ends = low.min(axis=0), high.max(axis=0)
    elif method == "percentile":
        ends = np.percentile(low, 100 - percentile, axis=0), np.percentile(high, percentile, axis=0)
    else:
        ends = low[0], high[0]
        for row_low, row_high in zip(low[1:], high[1:], strict=True):
            ends = tuple(
                _SMOOTHING * end + (1 - _SMOOTHING) * row for end, row in zip(ends, (row_low, row_high), strict=True)
            )
    lows, highs = (np.asarray(end, dtype=np.float32) for end in ends)
    return {key: (float(lows[i]), float(highs[i])) for i, key in enumerate(extremes.keys)}


def collect_ranges(
    float_tflite: Path,
    inputs: Iterable[NDArray[np.float32]],
    *,
    weights_sha256: str,
    method: Method = "minmax",
    percentile: float = 99.0,
    calibration_set: str | None = None,
) -> ActivationRanges:
    """``observe`` and ``summarize``, bound to the graph and its weights.

    Args:
        float_tflite: the float network.
        inputs: (1, H, W, 3) float32 each, normalized.
        weights_sha256: digest of the weights the network was made from.
        method: see ``summarize``.
        percentile: see ``summarize``.
        calibration_set: name of the set the inputs come from.

    Raises:
        DataError: see ``observe``.
    """
    extremes = observe(float_tflite, inputs)
    return ActivationRanges(
        graph_sha256=graph_digest(inspect_tflite(float_tflite)),
        weights_sha256=weights_sha256,
        method=f"percentile {percentile:g}" if method == "percentile" else method,
        n_inputs=len(extremes.low),
        ranges=summarize(extremes, method, percentile),
        calibration_set=calibration_set,
    )


def check_weights(ranges: ActivationRanges, weights_sha256: str) -> None:
    """Refuses ranges of other weights: what can be known before anything is converted.

    Raises:
        DataError: the digests differ; the message has the remedy.
    """
    if ranges.weights_sha256 != weights_sha256:
        raise DataError(
            "activation ranges: they belong to other weights "
            f"(found {ranges.weights_sha256[:12]}…, expected {weights_sha256[:12]}…); {_REMEDY}"
        )


def check_applies(ranges: ActivationRanges, info: TfliteInfo, weights_sha256: str) -> None:
    """Refuses ranges that were observed on another network.

    Args:
        ranges: observed earlier, perhaps on another machine.
        info: the float network to be quantized.
        weights_sha256: digest of the weights it was made from.

    Raises:
        DataError: other weights, another graph, or an activation without a range; the message has the remedy.
    """
    check_weights(ranges, weights_sha256)
    digest = graph_digest(info)
    if ranges.graph_sha256 != digest:
        raise DataError(
            "activation ranges: they belong to another graph "
            f"(found {ranges.graph_sha256[:12]}…, expected {digest[:12]}…: network or converter changed); {_REMEDY}"
        )
    if ranges.ranges.keys() != activation_keys(info).keys():
        odd = min(ranges.ranges.keys() ^ activation_keys(info).keys())
        raise DataError(f"activation ranges: {odd} is in the file or in the graph, not in both; {_REMEDY}")


def dumps(ranges: ActivationRanges) -> str:
    """JSON text; ``loads`` gives back equal floats to the last bit."""
    return codec.dumps(SCHEMA, ranges)


def loads(text: str | bytes) -> ActivationRanges:
    """Reads what ``dumps`` wrote.

    Raises:
        DataError: not such a document; the message starts with the path of the field.
    """
    try:
        ranges = codec.loads(SCHEMA, ActivationRanges, text)
    except SchemaError as error:
        raise DataError(f"{error}; {_REMEDY}") from error
    for key, (low, high) in ranges.ranges.items():
        if low > high:
            raise DataError(f"ranges.ranges.{key}: found min {low} above max {high}; {_REMEDY}")
    return ranges


def save(ranges: ActivationRanges, path: Path) -> None:
    """Writes the JSON document, complete or not at all."""
    write_bytes(path, dumps(ranges).encode())


def load(path: Path) -> ActivationRanges:
    """Reads a document written by ``save``.

    Raises:
        DataError: it is absent or not such a document.
    """
    try:
        return loads(read_regular(path))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no activation ranges there; {_REMEDY}") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
