"""A detector's network in int8 by this kit: weights made float32 → ranges → int8, compared on packaged photos.

What stays in float is named in the recipe (``float_from``): the last operators, whose errors move boxes and landmarks
most, found with ``benchmarks/detector_int8.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_host.convert.int8 import TOOLS, quantize_int8
from fer_host.detector.float32 import in_float32
from fer_host.detector.looks import Look
from fer_host.errors import DataError, GateError
from fer_host.files.artifacts import sha256_bytes, sha256_file, write_bytes
from fer_host.files.paths import CALIBRATION_RANGES
from fer_host.files.store import Stage, Store
from fer_host.recipe.recipe import DetectorNetwork
from fer_host.tflite import ranges as ranges_format
from fer_host.tflite.inspection import inspect_tflite
from fer_host.tflite.ranges import ActivationRanges, activation_keys, graph_digest
from fer_host.tflite.run import check_runs, open_interpreter

PERCENTILE = 98.0  # of the looks' extremes: what only few of them reach is cut
ROOM = 1.2  # side of the square around a face within which its activations are looked at, in sides of its box
SCALE = 127.5  # the networks take (v - 127.5) / SCALE of a level v


def path_of_ranges(network: DetectorNetwork) -> Path:
    """``calibration/ranges/detectors/NAME.json``: numbers only, of pictures that do not ship."""
    return CALIBRATION_RANGES / "detectors" / f"{network.name}.json"


def int8_network(store: Store, number: int, network: DetectorNetwork, content: bytes) -> Path:
    """The int8 tflite file, of a float one with the weights of ``network``; input int8, outputs float32.

    Args:
        store: keeps the stages.
        number: of the stage before the first of the two.
        network: what the recipe says of it; ``float_from`` is set.
        content: of the float tflite file, with weights in float32 or float16.

    Raises:
        DataError: the ranges are absent, or of another network.
        GateError: the float32 form answers otherwise than the network.
        ToolError: ai-edge-quantizer failed, or made what does not run.
    """
    ranges = ranges_format.load(path_of_ranges(network))
    plain = float32_network(store, number + 1, network, content)
    info = inspect_tflite(plain)
    kept = [f"{op.index:03d}.{op.type}" for op in info.ops if op.index >= (network.float_from or 0)]
    config = {"ranges": ranges_format.dumps(ranges), "kept": kept}
    stage = Stage(
        number + 2, f"{network.name}-int8", config=config, inputs={"network": sha256_file(plain)}, tools=TOOLS
    )

    def build(folder: Path) -> None:
        target = folder / "network.tflite"
        quantize_int8(plain, ranges, target, kept, weights_sha256=network.sha256, float_outputs=True)
        check_runs(target)

    return store.run(stage, build).path / "network.tflite"


def float32_network(store: Store, number: int, network: DetectorNetwork, content: bytes) -> Path:
    """The same network with float32 weights, to the bit.

    Raises:
        GateError: it answers otherwise.
    """
    stage = Stage(number, f"{network.name}-float32-weights", inputs={"network": sha256_bytes(content)}, tools=TOOLS)

    def build(folder: Path) -> None:
        original, target = folder / "original.tflite", folder / "network.tflite"
        write_bytes(original, content)
        write_bytes(target, in_float32(content))
        worst = _difference(original, target)
        if worst > 0:
            raise GateError(f"stage {stage.name}: answers differ by {worst:.3g}, expected 0 (only the form changes)")

    return store.run(stage, build).path / "network.tflite"


def _difference(a: Path, b: Path) -> float:
    """Largest of all outputs on one random picture, with the plain kernels, which add in the same order."""
    answers = []
    for path in (a, b):
        interpreter = open_interpreter(path, reference_kernels=True)
        source = interpreter.get_input_details()[0]
        values = np.random.default_rng(0).uniform(-1, 1, source["shape"])
        interpreter.set_tensor(source["index"], values.astype(np.float32))
        interpreter.invoke()
        outputs = {d["name"]: interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()}
        answers.append([outputs[name] for name in sorted(outputs)])
    return max(float(np.abs(x - y).max()) for x, y in zip(*answers, strict=True))


def measure(network: DetectorNetwork, float32: Path, looks: Iterable[Look]) -> ActivationRanges:
    """The range of every activation where a face is, of the looks' extremes the ``PERCENTILE``th.

    Args:
        network: whose weights ``float32`` has.
        float32: the network with float32 weights.
        looks: at faces.

    Raises:
        DataError: there is none.
    """
    info = inspect_tflite(float32)
    keys = activation_keys(info)
    interpreter = open_interpreter(float32, keep_all=True)
    low, high = [], []
    for look in looks:
        values = (look.picture.astype(np.float32) - np.float32(127.5)) / np.float32(SCALE)
        interpreter.set_tensor(info.input_indices[0], values[None])
        interpreter.invoke()
        ends = [_extremes(interpreter.get_tensor(index), look) for index in keys.values()]
        low.append([end[0] for end in ends])
        high.append([end[1] for end in ends])
    if not low:
        raise DataError(f"ranges of {network.name}: found no face in the pictures, expected at least one")
    lows = np.minimum(np.percentile(np.array(low), 100 - PERCENTILE, axis=0), 0)
    highs = np.maximum(np.percentile(np.array(high), PERCENTILE, axis=0), 0)
    ranges = {key: (float(lows[i]), float(highs[i])) for i, key in enumerate(keys)}
    ranges[next(iter(keys))] = (-127.5 / SCALE, 127.5 / SCALE)  # one step a level
    method = f"percentile {PERCENTILE:g} of what faces give"
    return ActivationRanges(graph_digest(info), network.sha256, method, len(low), ranges)


def _extremes(activation: NDArray[np.float32], look: Look) -> tuple[float, float]:
    """Within the face and a little around it, where the activation still is a map of the picture."""
    part = activation
    if activation.ndim == 4 and activation.shape[1] > 1:
        rows, cols = activation.shape[1:3]
        by_y, by_x = rows / look.picture.shape[0], cols / look.picture.shape[1]
        x0, y0, x1, y1 = look.face
        half = max(x1 - x0, y1 - y0) * ROOM / 2
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        top, bottom = max(0, int((y - half) * by_y)), min(rows, int(np.ceil((y + half) * by_y)))
        left, right = max(0, int((x - half) * by_x)), min(cols, int(np.ceil((x + half) * by_x)))
        inside = activation[:, top:bottom, left:right]
        part = inside if inside.size else activation
    return float(part.min()), float(part.max())
