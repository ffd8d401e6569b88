"""A detector's network for onnxruntime: its float tflite file by operator, compared with that file on pictures.

MediaPipe publishes BlazeFace as tflite alone; MTCNN's come as ONNX, but joined and checked as tflite (``convert.py``).
So one way serves all: ``convert.from_tflite``, the kit's own reader and writer, no other tool.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_host.convert import onnx_variants
from fer_host.convert.from_tflite import tflite_to_onnx
from fer_host.convert.parity import check, compare, float_gates, write_parity
from fer_host.device_pipeline import OnnxInterpreter
from fer_host.files.artifacts import sha256_bytes, write_bytes
from fer_host.files.store import Stage, Store
from fer_host.recipe.recipe import DetectorNetwork
from fer_host.tflite.inspection import inspect_tflite
from fer_host.tflite.run import open_interpreter

N_INPUTS = 8  # random pictures that the two files are compared on


def onnx_network(store: Store, number: int, network: DetectorNetwork, content: bytes) -> Path:
    """The ONNX file: input (1, H, W, 3) float32, outputs as in the tflite file; any size where that has maps alone.

    Args:
        store: keeps the stage.
        number: of the stage.
        network: what the recipe says of it.
        content: of its float tflite file, with weights in float32 or float16.

    Raises:
        GateError: it does not answer as the tflite file.
        ToolError: it has an operator without a form in ONNX.
    """
    stage = Stage(number, f"{network.name}-onnx", inputs={"network": sha256_bytes(content)}, tools=onnx_variants.TOOLS)

    def build(folder: Path) -> None:
        source, target = folder / "network.tflite", folder / "network.onnx"
        write_bytes(source, content)
        info = inspect_tflite(source)
        tflite_to_onnx(source, target, any_size=all(len(output.shape) == 4 for output in info.outputs))
        shape = info.inputs[0].shape
        inputs = np.random.default_rng(0).uniform(-1, 1, (N_INPUTS, *shape[1:])).astype(np.float32)
        engines = (open_interpreter(source), OnnxInterpreter(target.read_bytes(), stage.name, provider="cpu"))
        expected, answer = (_answers(engine, inputs) for engine in engines)
        found = compare(stage.name, expected, answer, "the tflite file")
        write_parity(folder / "parity.json", [found])
        check(found, float_gates(expected))  # boxes are in px

    return store.run(stage, build).path / "network.onnx"


def _answers(engine: Any, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, values): all outputs of each input in a row, the one with fewest values first."""
    source, rows = engine.get_input_details()[0]["index"], []
    for picture in inputs:
        engine.set_tensor(source, picture[None])
        engine.invoke()
        outputs = [engine.get_tensor(output["index"]) for output in engine.get_output_details()]
        rows.append(np.concatenate([each.ravel() for each in sorted(outputs, key=lambda each: each.size)]))
    return np.stack(rows)
