"""The whole chain on a small network with the real converters and the real interpreter; one run shared by all tests."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from fer_host.convert import int8, onnx_export, parity, saved_model, tflite
from fer_host.errors import DataError, ToolError
from fer_host.models.mobilenet_v2 import InvertedResidual, conv_bn_relu6
from fer_host.tflite import arithmetic, inspection, ranges
from fer_host.tflite.run import check_runs, run_tflite

HW = (32, 24)  # not square: a swapped height and width shows
WEIGHTS = "12" * 32


class SmallNet(nn.Module):
    """A stem, three inverted residuals (one with a skip), a head: the operators of MobileNetV2."""

    def __init__(self) -> None:
        super().__init__()
        blocks = [InvertedResidual(8, 8, 1, 1), InvertedResidual(8, 16, 2, 6), InvertedResidual(16, 16, 1, 6)]
        self.features = nn.Sequential(conv_bn_relu6(3, 8, stride=2), *blocks)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(16, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classifier(self.features(x).mean(dim=(2, 3)))
        return logits


def small_net(seed: int) -> SmallNet:
    """Random weights, batch norms that saw data: activations of a trained network's size."""
    torch.manual_seed(seed)
    net = SmallNet()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            module.momentum = None
    nn.init.normal_(net.classifier[1].weight, 0, 2.0)  # type: ignore[arg-type]  # a Linear's weight
    with torch.no_grad():
        net.train()(torch.randn(16, 3, *HW))
    return net.eval()


def pictures(n: int, seed: int) -> NDArray[np.float32]:
    """(n, H, W, 3): smooth blobs of different brightness, as different from each other as faces are."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.normal(0, 1.5, (n, 3, 4, 4)).astype(np.float32))
    smooth = nn.functional.interpolate(coarse, HW, mode="bilinear").numpy()
    return np.ascontiguousarray(smooth.transpose(0, 2, 3, 1))


def float_chain(folder: Path, seed: int) -> None:
    """torch -> a.onnx -> s.onnx -> sm/ -> f.tflite."""
    onnx_export.export_onnx(small_net(seed), HW, folder / "a.onnx")
    onnx_export.simplify_onnx(folder / "a.onnx", folder / "s.onnx")
    saved_model.to_saved_model(folder / "s.onnx", folder / "sm", folder / "sm.log")
    tflite.to_float_tflite(folder / "sm", folder / "f.tflite", folder / "f.log")


@dataclass(frozen=True)
class Chain:
    folder: Path
    net: SmallNet
    inputs: NDArray[np.float32]
    reference: NDArray[np.float32]
    ranges: ranges.ActivationRanges


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    folder = tmp_path_factory.mktemp("chain")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            patch.setenv(name, "http://127.0.0.1:9")  # nobody listens: a download would fail the chain
        patch.setenv("NO_PROXY", "")
        float_chain(folder, seed=1)
    observed = ranges.collect_ranges(
        folder / "f.tflite", (row[None] for row in pictures(32, seed=2)), weights_sha256=WEIGHTS
    )
    int8.quantize_int8(folder / "f.tflite", observed, folder / "i.tflite", weights_sha256=WEIGHTS)
    int8.quantize_dynamic(folder / "f.tflite", folder / "d.tflite")
    net, inputs = small_net(seed=1), pictures(24, seed=3)
    return Chain(folder, net, inputs, onnx_export.run_torch(net, inputs), observed)


def test_float_stages_equal_torch(chain: Chain) -> None:
    few = chain.inputs[:4]
    for stage, found in {
        "onnx": onnx_export.run_onnx(chain.folder / "a.onnx", few),
        "onnx-simplified": onnx_export.run_onnx(chain.folder / "s.onnx", few),
        "saved-model": saved_model.run_saved_model(chain.folder / "sm", few, chain.folder / "run.log"),
        "float32": run_tflite(chain.folder / "f.tflite", few),
    }.items():
        compared = parity.compare(stage, chain.reference[:4], found)
        parity.check(compared, parity.FLOAT_GATES)
        assert compared.max_abs < 1e-4 < np.ptp(chain.reference)


def test_int8_and_dynamic_are_close_and_not_equal(chain: Chain) -> None:
    for file in ("i.tflite", "d.tflite"):
        compared = parity.compare(file, chain.reference, run_tflite(chain.folder / file, chain.inputs))
        assert compared.cosine_mean > 0.99
        assert compared.cosine_min > 0.95
        assert compared.max_abs > 1e-4
        assert compared.top1_agreement >= 0.75


def test_reference_kernels_agree_within_some_steps(chain: Chain) -> None:
    info = inspection.inspect_tflite(chain.folder / "i.tflite")
    fast = run_tflite(chain.folder / "i.tflite", chain.inputs)
    slow = run_tflite(chain.folder / "i.tflite", chain.inputs, reference_kernels=True)
    again = run_tflite(chain.folder / "i.tflite", chain.inputs, reference_kernels=True, threads=2)
    assert np.array_equal(slow, again)
    assert np.abs(fast - slow).max() <= 16 * info.outputs[0].scale


def test_onnx_has_the_promised_names_and_shapes(chain: Chain) -> None:
    for name in ("a.onnx", "s.onnx"):
        model = onnx.load(chain.folder / name)
        (source,), (result,) = model.graph.input, model.graph.output
        shapes = [[side.dim_value for side in value.type.tensor_type.shape.dim] for value in (source, result)]
        assert (source.name, result.name, shapes) == ("input", "logits", [[1, 3, *HW], [1, 8]])
        assert model.opset_import[0].version == 17
    sizes = [len(onnx.load(chain.folder / name).graph.node) for name in ("a.onnx", "s.onnx")]
    assert sizes[1] < sizes[0]


def test_export_leaves_the_network_alone(tmp_path: Path) -> None:
    net = small_net(seed=5).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    onnx_export.export_onnx(net, HW, tmp_path / "a.onnx")
    onnx_export.run_torch(net, pictures(2, 0))
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_saved_model_is_a_pb_with_its_weights(chain: Chain) -> None:
    size = (chain.folder / "sm" / "saved_model.pb").stat().st_size
    assert size > 4 * sum(p.numel() for p in chain.net.parameters())


def test_what_the_files_really_are(chain: Chain) -> None:
    for file, scheme in {"f.tflite": "float32", "i.tflite": "int8", "d.tflite": "dynamic"}.items():
        assert arithmetic.scheme_of(inspection.inspect_tflite(chain.folder / file)) == scheme


def test_int8_file_is_int8_from_input_to_output(chain: Chain) -> None:
    info = inspection.inspect_tflite(chain.folder / "i.tflite")
    (source,), (result,) = info.inputs, info.outputs
    assert (source.name, source.shape, source.dtype) == ("input", (1, *HW, 3), "int8")
    assert (result.name, result.shape, result.dtype) == ("logits", (1, 8), "int8")
    low, high = chain.ranges.ranges["input.0"]
    assert source.scale == pytest.approx((high - low) / 255, rel=1e-3)
    assert set(info.dtypes) == {"int8", "int32"}
    assert arithmetic.not_int8(info) == ()
    assert info.size_bytes == (chain.folder / "i.tflite").stat().st_size


def test_every_tensor_that_is_not_int8_has_a_reason(chain: Chain) -> None:
    whole = inspection.inspect_tflite(chain.folder / "i.tflite")
    notes = arithmetic.tensors_not_int8(whole)
    assert {(note.dtype, note.reason.split(",")[0]) for note in notes} == {("int32", "bias"), ("int32", "axes")}
    assert sum(note.reason.startswith("bias") for note in notes) == len(whole.layers)
    info = inspection.inspect_tflite(chain.folder / "f.tflite")
    reasons = [note.reason for note in arithmetic.tensors_not_int8(info)]
    assert len(reasons) == len({i for op in info.ops for i in (*op.inputs, *op.outputs) if i >= 0})
    assert any("weights of CONV_2D, which is not int8" in reason for reason in reasons)


def test_from_one_int8_scale_to_another_is_int8(chain: Chain) -> None:
    info = inspection.inspect_tflite(chain.folder / "i.tflite")
    activations = [tensor.index for tensor in info.tensors if not tensor.constant]
    same = inspection.OpInfo(0, "QUANTIZE", (activations[0],), (activations[1],), {})
    assert arithmetic.arithmetic(info, same) == "int8"
    mixed = replace(info.tensors[activations[1]], dtype="float32")
    tensors = tuple(mixed if tensor.index == activations[1] else tensor for tensor in info.tensors)
    assert arithmetic.arithmetic(replace(info, tensors=tensors), same) == "border"


def test_weights_are_per_output_channel(chain: Chain) -> None:
    info = inspection.inspect_tflite(chain.folder / "i.tflite")
    assert len(info.layers) == 1 + 2 + 3 + 3 + 1
    assert sum(layer.n_weights for layer in info.layers) == sum(
        p.numel() for p in chain.net.parameters() if p.dim() > 1
    )
    assert {(layer.storage, layer.effective_bits) for layer in info.layers} == {("int8", 8.0)}
    for op in info.ops:
        if op.type in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            weights, result = info.tensors[op.inputs[1]], info.tensors[op.outputs[0]]
            assert len(weights.scales) == result.shape[3]
            assert set(weights.zero_points) == {0}


def test_float_file_states_float_io(chain: Chain) -> None:
    info = inspection.inspect_tflite(chain.folder / "f.tflite")
    assert [(spec.name, spec.dtype) for spec in (*info.inputs, *info.outputs)] == [
        ("input", "float32"),
        ("logits", "float32"),
    ]
    assert info.min_runtime
    assert len(arithmetic.not_int8(info)) == len(info.ops)


def test_reloaded_ranges_quantize_to_the_same_bytes(chain: Chain, tmp_path: Path) -> None:
    ranges.save(chain.ranges, tmp_path / "r.json")
    int8.quantize_int8(
        chain.folder / "f.tflite", ranges.load(tmp_path / "r.json"), tmp_path / "i.tflite", weights_sha256=WEIGHTS
    )
    assert (tmp_path / "i.tflite").read_bytes() == (chain.folder / "i.tflite").read_bytes()


def test_other_ranges_make_another_file(chain: Chain, tmp_path: Path) -> None:
    """Else the test above would pass with ranges that nobody reads."""
    wide = {key: (2 * low, 2 * high) for key, (low, high) in chain.ranges.ranges.items()}
    changed = ranges.ActivationRanges(chain.ranges.graph_sha256, WEIGHTS, "minmax", 1, wide)
    int8.quantize_int8(chain.folder / "f.tflite", changed, tmp_path / "i.tflite", weights_sha256=WEIGHTS)
    found = inspection.inspect_tflite(tmp_path / "i.tflite").outputs[0].scale
    assert found == pytest.approx(2 * inspection.inspect_tflite(chain.folder / "i.tflite").outputs[0].scale, rel=1e-5)


def test_a_range_that_leaves_nothing_is_refused(chain: Chain, tmp_path: Path) -> None:
    """A max-pool that the converter padded with the lowest number gives such a range."""
    with pytest.raises(DataError, match=r"CONV_2D.0 reaches from -3.4e\+38 to 3, expected at most"):
        int8.quantize_int8(
            chain.folder / "f.tflite", out_of_scale(chain), tmp_path / "i.tflite", weights_sha256=WEIGHTS
        )
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_kills_the_interpreter_is_one_line(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As XNNPACK of ai-edge-litert 2.3.0 does ("double free") where a convolution's input has a scale of 1e36."""
    path = chain.folder / "i.tflite"
    check_runs(path)
    worker_that(tmp_path, monkeypatch, "echo 'free(): double free detected in tcache 2' >&2; kill -ABRT $$")
    with pytest.raises(
        ToolError, match=r"killed by SIGABRT when it loaded .*i.tflite \(free.*; use SCHEME=dynamic"
    ) as died:
        check_runs(path)
    assert "\n" not in str(died.value)


def test_a_file_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "i.tflite"
    path.write_bytes(b"not a network at all")
    with pytest.raises(ToolError, match=r"cannot load .*i.tflite") as caught:
        check_runs(path)
    assert "\n" not in str(caught.value)


def out_of_scale(chain: Chain) -> ranges.ActivationRanges:
    """The chain's ranges with that of the first convolution's output from the lowest number up."""
    first = next(key for key in chain.ranges.ranges if "CONV_2D" in key)
    return replace(chain.ranges, ranges={**chain.ranges.ranges, first: (-3.4e38, 3.0)})


def test_ranges_of_other_weights_are_refused_and_nothing_is_written(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="other weights"):
        int8.quantize_int8(chain.folder / "f.tflite", chain.ranges, tmp_path / "i.tflite", weights_sha256="34" * 32)
    assert list(tmp_path.iterdir()) == []


def test_another_run_in_another_process_has_the_same_graph(chain: Chain, tmp_path: Path) -> None:
    """What makes ranges shipped from one machine apply on another; seed 9: other weights, one topology."""
    script = f"import runpy, pathlib; runpy.run_path({__file__!r})['float_chain'](pathlib.Path({str(tmp_path)!r}), 9)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "77"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, cwd=tmp_path)
    info = inspection.inspect_tflite(tmp_path / "f.tflite")
    assert ranges.graph_digest(info) == chain.ranges.graph_sha256
    assert (tmp_path / "f.tflite").read_bytes() != (chain.folder / "f.tflite").read_bytes()
    ranges.check_applies(chain.ranges, info, WEIGHTS)


def test_observation_is_every_tensors_own(chain: Chain) -> None:
    inputs = pictures(3, seed=8)
    extremes = ranges.observe(chain.folder / "f.tflite", (row[None] for row in inputs))
    assert extremes.low.shape == extremes.high.shape == (3, len(chain.ranges.ranges))
    first, last = extremes.keys.index("input.0"), -1
    assert np.array_equal(extremes.low[:, first], inputs.min(axis=(1, 2, 3)))
    assert np.array_equal(extremes.high[:, first], inputs.max(axis=(1, 2, 3)))
    logits = onnx_export.run_torch(chain.net, inputs)
    np.testing.assert_allclose(extremes.low[:, last], logits.min(axis=1), atol=1e-4)
    np.testing.assert_allclose(extremes.high[:, last], logits.max(axis=1), atol=1e-4)


@pytest.mark.parametrize(
    ("inputs", "what"),
    [
        ([], "found no input"),
        ([np.zeros((1, 8, 8, 3), np.float32)], "found shape"),
        ([np.full((1, *HW, 3), np.nan, np.float32)], "not finite"),
    ],
)
def test_hopeless_calibration_inputs_are_refused(chain: Chain, inputs: list[NDArray[np.float32]], what: str) -> None:
    with pytest.raises(DataError, match=what):
        ranges.observe(chain.folder / "f.tflite", inputs)


def test_runner_refuses_other_shapes(chain: Chain) -> None:
    with pytest.raises(DataError, match=r"expected \(N, 32, 24, 3\)"):
        run_tflite(chain.folder / "f.tflite", np.zeros((1, 24, 32, 3), np.float32))


def test_damaged_files_are_one_line(chain: Chain, tmp_path: Path) -> None:
    broken = tmp_path / "b.tflite"
    broken.write_bytes(b"not a network at all")
    for call in (
        lambda: run_tflite(broken, chain.inputs),
        lambda: int8.quantize_dynamic(broken, tmp_path / "o"),
    ):
        with pytest.raises(ToolError) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert str(broken) in str(caught.value)
    with pytest.raises(DataError, match="not a tflite file"):
        inspection.inspect_tflite(broken)
    with pytest.raises(ToolError, match="no readable ONNX network"):
        onnx_export.simplify_onnx(broken, tmp_path / "s.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["b.tflite"]


def test_failed_check_of_onnxsim_stops(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxsim

    monkeypatch.setattr(onnxsim, "simplify", lambda model, check_n: (model, check_n == 0))
    with pytest.raises(ToolError, match="own check"):
        onnx_export.simplify_onnx(chain.folder / "a.onnx", tmp_path / "s.onnx")
    assert list(tmp_path.iterdir()) == []


def worker_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Puts a shell script in place of the Python that would run TensorFlow; returns its log."""
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    return tmp_path / "logs" / "03.log"


def test_failing_converter_names_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = worker_that(tmp_path, monkeypatch, "echo chatter; echo 'NotImplementedError: Foo' >&2; echo; exit 1")
    with pytest.raises(ToolError, match="NotImplementedError: Foo") as caught:
        saved_model.to_saved_model(tmp_path / "s.onnx", tmp_path / "sm", log)
    assert str(log) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "chatter" in log.read_text()


def test_killed_converter_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = worker_that(tmp_path, monkeypatch, "kill -9 $$")
    with pytest.raises(ToolError, match="killed by SIGKILL"):
        tflite.to_float_tflite(tmp_path / "sm", tmp_path / "f.tflite", log)


def test_full_disk_in_the_converter_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = worker_that(tmp_path, monkeypatch, "echo 'OSError: [Errno 28] No space left on device'; exit 1")
    with pytest.raises(OSError, match="No space left") as caught:
        saved_model.to_saved_model(tmp_path / "s.onnx", tmp_path / "sm", log)
    assert caught.value.errno == errno.ENOSPC


def test_converter_that_leaves_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = worker_that(tmp_path, monkeypatch, "exit 0")
    with pytest.raises(ToolError, match=r"no saved_model.pb"):
        saved_model.to_saved_model(tmp_path / "s.onnx", tmp_path / "sm", log)


def test_static_set_is_the_quantizers_own() -> None:
    names = int8.static_int8_operators()
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "PAD", "ADD", "MEAN", "TRANSPOSE_CONV"} <= names
    assert not {"PRELU", "REDUCE_MAX", "EXP", "LOG"} & names


def test_tensorflow_stays_in_its_own_process() -> None:
    modules = "onnx_export, saved_model, tflite, int8, parity"
    asked = "'tensorflow' in sys.modules, 'onnxsim' in sys.modules, 'ai_edge_quantizer' in sys.modules"
    script = (
        f"import sys; from fer_host.convert import {modules}; from fer_host.tflite import inspection; print({asked})"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False"] * 3
