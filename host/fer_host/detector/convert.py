"""A detector's ONNX network through the kit's own chain: fixed and joined → simplified → SavedModel → float tflite.

Every stage is compared with the package's own file, run by onnxruntime or onnx' reference evaluator.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from fer_host.convert import onnx_export, saved_model, tflite
from fer_host.convert.onnx_file import load_onnx
from fer_host.convert.parity import FLOAT_GATES, check, compare, write_parity
from fer_host.errors import ToolError
from fer_host.files.artifacts import sha256_file, write_bytes
from fer_host.files.store import Stage, Store
from fer_host.models.onnx_file import INPUT_NAME, OUTPUT_NAME
from fer_host.recipe.recipe import DetectorNetwork
from fer_host.tflite.run import run_tflite

Floats = NDArray[np.float32]
N_INPUTS = 8  # random pictures that the stages are compared on
_TOOLS = ("onnx", "numpy")


def convert_network(store: Store, first: int, network: DetectorNetwork, source: Path) -> Path:
    """The float tflite file, (1, H, W, 3) -> the outputs' logits joined along the last axis.

    Args:
        store: keeps the stages.
        first: number of the stage before this network's first.
        network: what the recipe says of it.
        source: the ONNX file: (N, H, W, 3) float32, outputs channels last.

    Raises:
        ToolError: the graph is not of the expected form, or a tool failed.
        GateError: a stage does not answer as ``source``.
    """
    inputs = _pictures(network)
    expected = _rows(run_original(source, network, inputs))

    def stage(number: int, name: str, made_from: str, tools: tuple[str, ...]) -> Stage:
        return Stage(first + number, f"{network.name}-{name}", inputs={"network": made_from}, tools=tools)

    def run(stage: Stage, name: str, make: Callable[[Path], None], answer: Callable[[Path, Floats], Floats]) -> Path:
        def build(folder: Path) -> None:
            make(folder / name)
            found = compare(stage.name, expected, _rows(answer(folder / name, inputs)), "the package's file")
            write_parity(folder / "parity.json", [found])
            check(found, FLOAT_GATES)

        return store.run(stage, build).path / name

    joined_stage = stage(1, "joined", network.sha256 + repr((network.input_hw, network.outputs)), _TOOLS)
    joined = run(joined_stage, "network.onnx", lambda path: join_outputs(source, network, path), onnx_export.run_onnx)
    small_stage = stage(2, "simplified", sha256_file(joined), onnx_export.SIMPLIFY_TOOLS)
    small = run(small_stage, "network.onnx", lambda path: onnx_export.simplify_onnx(joined, path), onnx_export.run_onnx)
    tf_stage = stage(3, "saved-model", sha256_file(small), saved_model.TOOLS)
    log = store.log(tf_stage)
    model = run(
        tf_stage,
        "saved_model",
        lambda path: saved_model.to_saved_model(small, path, log),
        lambda path, rows: np.moveaxis(saved_model.run_saved_model(path, rows, log), -1, 1),
    )
    last = stage(4, "float32", sha256_file(model / "saved_model.pb"), tflite.TOOLS)
    log = store.log(last)
    return run(
        last,
        "network.tflite",
        lambda path: tflite.to_float_tflite(model, path, log),
        lambda path, rows: np.moveaxis(run_tflite(path, rows), -1, 1),
    )


def join_outputs(source: Path, network: DetectorNetwork, target: Path) -> None:
    """Writes the graph as the chain takes it: one (1, 3, H, W) ``input``, one ``logits``.

    Exact: the change to channels first at the input goes, softmax goes (its input is joined instead), and so do the
    changes back to channels last before the outputs, which onnx2tf makes anew.

    Raises:
        ToolError: the graph does not begin with that change, or lacks an output.
    """
    model = load_onnx(source)
    graph = model.graph
    entry = graph.node[0]
    if entry.op_type != "Transpose" or list(entry.input) != [graph.input[0].name] or network.input_hw is None:
        raise ToolError(f"{source}: expected a channels-last network that starts with a Transpose, and an input_hw")
    makers = {name: node for node in graph.node for name in node.output}
    dropped = [entry]
    joined = []
    for output in network.outputs:
        if output not in makers:
            raise ToolError(f"{source}: has no {output!r}; expected {', '.join(o.name for o in graph.output)}")
        while makers[output].op_type in ("Softmax", "Transpose"):
            dropped.append(makers[output])
            output = makers[output].input[0]
        joined.append(output)
    for node in dropped:
        graph.node.remove(node)
    for node in graph.node:
        node.input[:] = [INPUT_NAME if name == entry.output[0] else name for name in node.input]
    graph.node.append(helper.make_node("Concat", joined, [OUTPUT_NAME], axis=1))
    rank = len(next(o for o in graph.output if o.name == network.outputs[0]).type.tensor_type.shape.dim)
    free = [f"d{i}" for i in range(1, rank)]
    del graph.input[:], graph.output[:], graph.value_info[:]
    shape = [1, 3, *network.input_hw]
    graph.input.append(helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, shape))
    graph.output.append(helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, [1, *free]))
    onnx.checker.check_model(model)
    write_bytes(target, model.SerializeToString(deterministic=True))


def run_original(source: Path, network: DetectorNetwork, inputs: Floats) -> Floats:
    """What the package's file answers, its outputs joined as ``join_outputs`` does, as channels come there.

    The pairs of probabilities become logits ``log p``, which differ from the network's own by a constant that the
    sigmoid of their difference does not see; ``_rows`` compares the differences.
    """
    names = list(network.outputs)
    model = load_onnx(source)
    feeds = [{model.graph.input[0].name: inputs[i : i + 1]} for i in range(len(inputs))]
    run: Callable[[Sequence[str], dict[str, Any]], list[Any]]
    if importlib.util.find_spec("onnxruntime") is not None:
        import onnxruntime

        run = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run
    else:
        from onnx.reference import ReferenceEvaluator

        run = ReferenceEvaluator(model).run
    rows = []
    for feed in feeds:
        probabilities, *others = run(names, feed)
        logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-30))
        rows.append(np.concatenate([logits, *others], axis=-1))
    joined = np.concatenate(rows).astype(np.float32)
    return np.moveaxis(joined, -1, 1)


def _rows(joined: Floats) -> Floats:
    """(N, C, ...) channels first -> (N, values): face probability, then everything behind the pair of logits."""
    face = 1 / (1 + np.exp(joined[:, :1].astype(np.float64) - joined[:, 1:2]))
    values = np.concatenate([face, joined[:, 2:]], axis=1)
    return np.asarray(values.reshape(len(values), -1), dtype=np.float32)


def _pictures(network: DetectorNetwork) -> Floats:
    """(N, H, W, 3) smooth random pictures in -1..1, the same every time."""
    height, width = network.input_hw or (0, 0)
    coarse = np.random.default_rng(0).uniform(-1, 1, (N_INPUTS, 4, 4, 3))
    rows = np.linspace(0, 3, height).round().astype(int)
    cols = np.linspace(0, 3, width).round().astype(int)
    return np.asarray(coarse[:, rows][:, :, cols], dtype=np.float32)
