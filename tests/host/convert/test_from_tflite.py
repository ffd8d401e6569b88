"""tflite -> ONNX, operator by operator: the same numbers from both runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from fer_host.convert.from_tflite import tflite_to_onnx
from fer_host.convert.onnx_variants import channels_last, onnx_variant, run_onnx_file, to_half
from fer_host.detector.networks import detector_contents
from fer_host.device_pipeline import open_interpreter
from fer_host.errors import ToolError
from fer_host.recipe.recipe import load_detector
from fer_host.tflite.inspection import inspect_tflite
from fer_host.tflite.run import run_tflite

DEVICE = Path(__file__).parents[2] / "device/data"
FER48 = Path(__file__).parents[3] / "device/fer_edge/builtin/fer48.int8.tflite"
N = 4


def inputs(shape: tuple[int, ...], n: int = N) -> np.ndarray:
    return np.random.default_rng(2).uniform(-1, 1, (n, *shape[1:])).astype(np.float32)


def session(path: Path) -> object:
    import onnxruntime

    return onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("name", "most"), [("float32", 1e-5), ("gray_float32", 1e-5), ("int8", 1.01), ("gray_int8", 1.01)]
)
def test_tiny_networks(tmp_path: Path, name: str, most: float) -> None:
    """Of an int8 one the outputs differ by a step at most."""
    source, target = DEVICE / f"tiny_{name}.tflite", tmp_path / "network.onnx"
    tflite_to_onnx(source, target)
    info, variant = inspect_tflite(source), onnx_variant("onnx", target)
    for ours, its in ((variant.input, info.inputs[0]), (variant.output, info.outputs[0])):
        assert (ours.shape, ours.dtype, ours.zero_point) == (its.shape, its.dtype, its.zero_point)
        assert ours.scale == pytest.approx(its.scale, rel=1e-6)
    rows = inputs(variant.input.shape)
    difference = np.abs(run_tflite(source, rows) - run_onnx_file(target, rows)).max()
    assert difference <= most * variant.output.scale


def test_the_int8_network_has_the_files_own_integers_scales_and_zero_points(tmp_path: Path) -> None:
    """fer48: 23 convolutions, all answers of the random inputs within a step of tflite's."""
    target = tmp_path / "network.onnx"
    tflite_to_onnx(FER48, target)
    info, graph = inspect_tflite(FER48), onnx.load(target).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    expected = {
        (np.float32(info.tensors[op.outputs[0]].scales[0]), info.tensors[op.outputs[0]].zero_points[0])
        for op in info.ops
    }
    grids = {
        (
            np.float32(constants[node.input[1]]),
            int(constants[node.input[2]]) - 128 * (constants[node.input[2]].dtype == "u1"),
        )
        for node in graph.node
        if node.op_type == "QuantizeLinear"
    }
    assert expected <= grids
    kernels = sum(value.dtype == np.int8 and value.ndim == 4 for value in constants.values())
    assert kernels == sum(op.type.endswith("CONV_2D") for op in info.ops)
    variant = onnx_variant("onnx_int8", target)
    assert variant.scheme == "int8"
    assert {layer.storage for layer in variant.layers} == {"int8"}
    rows = inputs(variant.input.shape)
    difference = np.abs(run_tflite(FER48, rows) - run_onnx_file(target, rows)).max()
    assert difference <= 1.01 * variant.output.scale


@pytest.mark.parametrize("name", ["blazeface_short", "blazeface_full"])
def test_blazeface(tmp_path: Path, name: str) -> None:
    """Halves as constants, padded channels, pools, resizing, reshaping: boxes within 0.001 px, logits within 0.001."""
    (content,) = detector_contents(load_detector(name)).values()
    source, target = tmp_path / "network.tflite", tmp_path / "network.onnx"
    source.write_bytes(content)
    tflite_to_onnx(source, target)
    interpreter = open_interpreter(content, name)
    details, given = interpreter.get_input_details()[0], interpreter.get_output_details()
    other = session(target)
    for row in inputs(tuple(details["shape"]), 2):
        interpreter.set_tensor(details["index"], row[None])
        interpreter.invoke()
        found = {tuple(value.shape): value for value in other.run(None, {details["name"].split(":")[0]: row[None]})}  # type: ignore[attr-defined]
        for output in given:
            expected = interpreter.get_tensor(output["index"])
            assert np.abs(expected - found[expected.shape]).max() < 1e-3


def test_an_operator_without_a_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fer_host.convert import from_tflite

    monkeypatch.delitem(from_tflite._OPERATORS, "MEAN")
    with pytest.raises(ToolError, match=r"is a MEAN, which has no ONNX form here; expected ADD, "):
        tflite_to_onnx(DEVICE / "tiny_float32.tflite", tmp_path / "network.onnx")
    assert not list(tmp_path.iterdir())


def first_graph(tmp_path: Path, weight: float = 0.5) -> Path:
    """One convolution, channels first, as the simplified graph has it."""
    kernel = np.full((4, 3, 8, 8), weight, np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["input", "w"], ["y"]), onnx.helper.make_node("Flatten", ["y"], ["logits"])],
        "g",
        [onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, 8, 8])],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(kernel, "w")],
    )
    path = tmp_path / "first.onnx"
    path.write_bytes(
        onnx.helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
        ).SerializeToString()
    )
    return path


def test_channels_last_and_half(tmp_path: Path) -> None:
    full, half = tmp_path / "full.onnx", tmp_path / "half.onnx"
    channels_last(first_graph(tmp_path), full)
    to_half(full, half)
    a, b = onnx_variant("onnx", full), onnx_variant("onnx_fp16", half)
    assert a.input.shape == b.input.shape == (1, 8, 8, 3)
    assert (a.scheme, b.scheme, b.input.dtype, b.output.dtype) == ("float32", "float16", "float32", "float32")
    assert (a.layers[0].storage, b.layers[0].storage, b.layers[0].effective_bits) == ("float32", "float16", 16.0)
    rows = inputs((1, 8, 8, 3))
    expected = rows.sum(axis=(1, 2, 3))[:, None] * np.full((1, 4), 0.5, np.float32)
    assert np.abs(run_onnx_file(full, rows) - expected).max() < 1e-4
    assert 0 < np.abs(run_onnx_file(half, rows) - expected).max() < 0.05
    assert half.stat().st_size < 0.7 * full.stat().st_size


def test_a_weight_beyond_half(tmp_path: Path) -> None:
    channels_last(first_graph(tmp_path, 1e6), tmp_path / "full.onnx")
    with pytest.raises(ToolError, match="beyond float16"):
        to_half(tmp_path / "full.onnx", tmp_path / "half.onnx")
    assert not (tmp_path / "half.onnx").exists()
