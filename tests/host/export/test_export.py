"""What a vendor's compiler is given: the form, the operators against its table, and how the device feeds it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from skimage import data as photos
from skimage import io as image_io

from fer_edge.contract.errors import BundleError
from fer_edge.contract.preprocess import preprocess
from fer_host import cli
from fer_host.bundle.assemble import calibrated_sets
from fer_host.convert.onnx_export import export_onnx, run_onnx, run_torch, simplify_onnx
from fer_host.errors import DataError, RecipeError
from fer_host.export.accelerator import OperatorLimit, accelerator_names, load_accelerator
from fer_host.export.document import files_of_export, loads
from fer_host.export.export import ExportRequest, export
from fer_host.export.operators import check_network, lines_of
from fer_host.export.readme import commands, feeding, reading
from fer_host.files.paths import BUILTIN
from fer_host.models.weights import build_network, load_network, weights_sha256
from fer_host.recipe.recipe import Recipe, load_recipe
from fer_host.tflite.inspection import inspect_tflite

ONNX = [name for name in accelerator_names() if load_accelerator(name).form == "onnx"]
INT8 = [name for name in accelerator_names() if load_accelerator(name).form == "int8"]
BUNDLE = os.environ.get("FER_TEST_BUNDLE")


def two_heads() -> Recipe:
    """The flagship as it is with two label sets, and each crop by its own light."""
    recipe = load_recipe("hawqc_mbv2")
    spec = dataclasses.replace(recipe.input, normalize="standardize", mean=(0.0,) * 3, std=(1.0,) * 3)
    shares = tuple(
        dataclasses.replace(cycle, loss=dataclasses.replace(cycle.loss, head_shares=(0.5, 0.5)))
        for cycle in recipe.train
    )
    return dataclasses.replace(recipe, heads=("ferplus8", "fer7"), input=spec, train=shares, quantize=None)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Recipe, Path]]:
    """The real recipes as ONNX: fer48, the flagship as it ships, and with two heads (weights drawn)."""
    folder = tmp_path_factory.mktemp("onnx")
    found = {}
    for name, recipe in (
        ("fer48", load_recipe("fer48")),
        ("hawqc_mbv2", load_recipe("hawqc_mbv2")),
        ("two heads", two_heads()),
    ):
        torch.manual_seed(1)
        network = build_network(recipe) if name == "two heads" else load_network(recipe)
        raw, path = folder / "raw.onnx", folder / f"{name}.onnx"
        export_onnx(network, recipe.input_hw, raw, recipe.input.channels)
        simplify_onnx(raw, path)
        inputs = np.random.default_rng(1).normal(size=(2, *recipe.input_hw, recipe.input.channels)).astype(np.float32)
        assert np.abs(run_onnx(path, inputs) - run_torch(network, inputs)).max() < 1e-3
        found[name] = (recipe, path)
    return found


@pytest.mark.parametrize("name", accelerator_names())
def test_each_says_where_its_operators_stand(name: str) -> None:
    accelerator = load_accelerator(name)
    assert accelerator.id == name
    assert "https://" in accelerator.source
    assert accelerator.read.startswith("20"), "the day of the look-up"
    assert "never run" in accelerator.tried
    assert len(accelerator.operators) > 15
    assert all("{id}" not in command for command in commands(accelerator, "x"))
    assert any(re.search(r"[ =]x\.(onnx|tflite)|^python ", command) for command in commands(accelerator, "x"))


def test_the_commands_help_names_each(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["export", "--help"])
    said = capsys.readouterr().out
    assert [name for name in accelerator_names() if name not in said] == []


@pytest.mark.parametrize("model", ["fer48", "hawqc_mbv2", "two heads"])
@pytest.mark.parametrize("name", ONNX)
def test_onnx_form(name: str, model: str, networks: dict[str, tuple[Recipe, Path]]) -> None:
    recipe, path = networks[model]
    checked = check_network(path, load_accelerator(name))
    assert checked.elsewhere == ()
    side, channels = recipe.size_px, recipe.input.channels
    assert checked.form.startswith(f"1x{channels}x{side}x{side} float32 -> 1x15 float32, channels first")
    n_convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in load_network(load_recipe("fer48")).modules())
    assert checked.counts["Conv"] == (n_convolutions if model == "fer48" else 52)


@pytest.mark.parametrize("name", INT8)
def test_int8_form_of_fer48(name: str) -> None:
    checked = check_network(BUILTIN / "fer48.int8.tflite", load_accelerator(name))
    assert checked.elsewhere == ()
    assert checked.form == "1x48x48x1 int8 -> 1x15 int8, channels last"
    assert checked.counts["CONV_2D"] == 12


@pytest.mark.skipif(BUNDLE is None, reason="FER_TEST_BUNDLE names no bundle of hawqc_mbv2")
@pytest.mark.parametrize("name", INT8)
def test_int8_form_of_the_flagship(name: str) -> None:
    assert BUNDLE is not None
    accelerator, path = load_accelerator(name), Path(BUNDLE) / "hawqc_mbv2.int8.tflite"
    checked = check_network(path, accelerator)
    assert checked.elsewhere == ()
    assert checked.counts["DEPTHWISE_CONV_2D"] == 17
    with pytest.raises(DataError, match="its input is float32, expected int8"):
        check_network(Path(BUNDLE) / "hawqc_mbv2.float32.tflite", accelerator)
    with pytest.raises(DataError, match="its input is float32, expected int8"):
        check_network(Path(BUNDLE) / "hawqc_mbv2.dynamic.tflite", accelerator)


def test_what_an_accelerator_lacks_is_listed_with_the_reason() -> None:
    accelerator = load_accelerator("coral")
    path = BUILTIN / "fer48.int8.tflite"
    info = inspect_tflite(path)
    kernel = max(info.tensors[op.inputs[1]].shape[1] for op in info.ops if op.type == "DEPTHWISE_CONV_2D")
    operators = {key: value for key, value in accelerator.operators.items() if key != "MEAN"}
    operators["DEPTHWISE_CONV_2D"] = OperatorLimit(kernel_most=kernel - 1)
    operators["MAX_POOL_2D"] = OperatorLimit(stride_most=1)
    operators["CONV_2D"] = OperatorLimit(fused=("none",))
    checked = check_network(path, dataclasses.replace(accelerator, operators=operators))
    reasons = {each.operator.type: each.reason for each in checked.elsewhere}
    assert reasons["MEAN"] == "edgetpu_compiler has no MEAN"
    assert reasons["DEPTHWISE_CONV_2D"] == f"window of {kernel}, at most {kernel - 1}"
    assert reasons["MAX_POOL_2D"] == "stride of 2, at most 1"
    assert reasons["CONV_2D"] == "fused relu6, expected none"
    mean = next(op.index for op in info.ops if op.type == "MEAN")
    assert f"operator {mean} MEAN: edgetpu_compiler has no MEAN" in list(lines_of(checked))
    operators = {**accelerator.operators, "MEAN": OperatorLimit(axes=(3,))}
    checked = check_network(path, dataclasses.replace(accelerator, operators=operators, rank_most=3))
    reasons = {each.operator.type: each.reason for each in checked.elsewhere}
    assert reasons["MEAN"] == "reduces axes [1, 2], expected some of [3]"
    assert reasons["CONV_2D"] == "a tensor of 4 axes, at most 3"


def test_onnx_axes_are_counted_as_tflite_counts_them(networks: dict[str, tuple[Recipe, Path]]) -> None:
    accelerator = load_accelerator("hailo")
    operators = {**accelerator.operators, "ReduceMean": OperatorLimit(axes=(3,))}
    checked = check_network(networks["fer48"][1], dataclasses.replace(accelerator, operators=operators))
    assert [each.reason for each in checked.elsewhere] == ["reduces axes [1, 2], expected some of [3]"]


def _onnx(path: Path, sides: list[int | str], opset: int = 17, ir: int = 8) -> Path:
    node = helper.make_node("Relu", ["input"], ["logits"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name in ("input", "logits")]
    model = helper.make_model(
        helper.make_graph([node], "g", values[:1], values[1:]), opset_imports=[helper.make_opsetid("", opset)]
    )
    model.ir_version = ir
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("sides", "opset", "ir", "said"),
    [
        ([1, 4], 17, 8, None),
        (["n", 4], 17, 8, "its input is ?x4, expected fixed sizes and a batch of 1"),
        ([2, 4], 17, 8, "its input is 2x4, expected fixed sizes and a batch of 1"),
        ([1, 4], 19, 8, "opset 19, expected 8 to 17 for hailo"),
        ([1, 4], 17, 10, "IR version 10, expected at most 9 for hailo"),
    ],
)
def test_a_form_that_no_compiler_takes(sides: list[int | str], opset: int, ir: int, said: str, tmp_path: Path) -> None:
    path = _onnx(tmp_path / "a.onnx", sides, opset, ir)
    if said is None:
        assert check_network(path, load_accelerator("hailo")).counts == {"Relu": 1}
        return
    with pytest.raises(DataError) as caught:
        check_network(path, load_accelerator("hailo"))
    assert str(caught.value) == f"{path}: {said}"


def test_the_page_says_how_fer48_is_fed() -> None:
    """The page's steps, followed with NumPy alone, give what the device's own preprocess gives."""
    recipe = load_recipe("fer48")
    tensors = (inspect_tflite(BUILTIN / "fer48.int8.tflite").inputs[0],)
    steps = list(feeding(recipe.align, recipe.input, recipe.input_hw, tensors))
    assert "0.299 R + 0.587 G + 0.114 B" in steps[1]
    assert steps[2].startswith("Size: down to 48x48 by the mean of what a pixel covers")
    assert steps[3].startswith("Light: v = (v - m) / (s + 0.02)")
    assert steps[4].startswith(f"Quantize: q = round(v / {tensors[0].scale!r}) + {tensors[0].zero_point}")
    assert len(steps) == 5, "fer48 has no mean and deviation of its own"
    crop = np.random.default_rng(3).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    gray = crop @ np.array([0.299, 0.587, 0.114])
    v = gray.reshape(48, 2, 48, 2).mean(axis=(1, 3)) / 255
    v = (v - v.mean()) / (v.std() + 0.02)
    assert np.abs(v[:, :, None] - preprocess(crop, recipe.input, recipe.input_hw)).max() < 1e-5


def test_the_page_says_what_both_forms_of_the_flagship_need() -> None:
    today = load_recipe("hawqc_mbv2")
    fixed = " ".join(feeding(today.align, today.input, today.input_hw, ()))
    if today.input.normalize is None:
        assert "Normalize: v = (v - mean) / std, by channel: mean 0.485, 0.456, 0.406" in fixed
        assert "Light:" not in fixed
    light = " ".join(feeding(today.align, two_heads().input, today.input_hw, ()))
    assert "over this crop alone" in light
    assert "bilinear to 96x96" in light
    assert "Normalize:" not in light
    sets = list(reading(two_heads().label_sets, ()))
    assert [line.split(",")[0] for line in sets] == [
        "Label set ferplus8: outputs 0 to 7",
        "Label set fer7: outputs 8 to 14",
    ]
    recipe = load_recipe("fer48")
    known = calibrated_sets(recipe, weights_sha256(load_network(recipe)))
    assert known[0].calibration is not None
    assert f"divided by the temperature {known[0].calibration.temperature:g}, then softmax" in next(reading(known, ()))


def _exported(model: Path | str, name: str, out: Path, **more: object) -> Path:
    return export(ExportRequest(str(model), name, out, quiet=True, **more)).path  # type: ignore[arg-type]


@pytest.fixture
def own(own_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own recipe with weights beside it, in a working folder of its own."""
    monkeypatch.chdir(own_recipe.parent)
    recipe = load_recipe(str(own_recipe))
    torch.manual_seed(4)
    torch.save(build_network(recipe).state_dict(), "mine.pt")
    return own_recipe


def test_a_float_export_holds_what_the_page_names(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["export", str(own), "--for", "hailo", "--weights", "mine.pt", "--out", "made", "--n", "12"]
    assert cli.main(line) == 0
    said = capsys.readouterr().out
    assert "operators are in the table of hailo" in said
    assert "never run there" in said
    folder = Path("made")
    document = loads((folder / "network.json").read_bytes())
    assert {path.name for path in folder.iterdir()} == {"network.json", *document.files} == files_of_export(folder)
    for name, digest in document.files.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert np.load(folder / "calibration.npy").shape == (12, 24, 24, 1)
    with np.load(folder / "check.npz") as check:
        crops, inputs, logits = check["crops"], check["inputs"], check["logits"]
    fed = np.stack([preprocess(crop, document.input, document.input_hw) for crop in crops])
    assert np.array_equal(fed, inputs)
    assert np.abs(run_onnx(folder / "mine.onnx", inputs) - logits).max() < 1e-5
    page = (folder / "README.md").read_text()
    command = commands(load_accelerator("hailo"), "mine")[0]
    assert command in said
    assert command in page
    for name in ("calibration.npy", "check.npz", "mine.onnx"):
        assert name in page
    assert "calm, tired" in page
    assert "not calibrated" in page


def test_an_older_export_is_replaced_and_a_strangers_folder_is_left_alone(own: Path) -> None:
    options = {"weights": Path("mine.pt"), "n": 4}
    made = _exported(own, "hailo", Path("made"), **options)
    before = (made / "mine.onnx").read_bytes()
    _exported(own, "hailo", Path("made"), **options)
    assert (made / "mine.onnx").read_bytes() == before
    (made / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"holds what was not made here \(notes.txt\)"):
        _exported(own, "hailo", Path("made"), **options)
    assert (made / "notes.txt").read_text() == "mine"
    Path("theirs").mkdir()
    Path("theirs/kept.txt").write_text("mine")
    with pytest.raises(BundleError, match="holds no older export"):
        _exported(own, "hailo", Path("theirs"), **options)
    assert [path.name for path in Path("theirs").iterdir()] == ["kept.txt"]
    assert not list(Path().glob(".fer-edge-*"))


def test_an_int8_export_has_the_scales_that_its_compiler_needs(own: Path) -> None:
    """The whole way, on photos of the user's: 16 of one face in other light."""
    Path("photos").mkdir()
    for i in range(16):
        light = np.clip(photos.astronaut().astype(np.float32) * (0.6 + 0.05 * i), 0, 255).astype(np.uint8)
        image_io.imsave(f"photos/{i}.png", light, check_contrast=False)
    options = {"weights": Path("mine.pt"), "calib": Path("photos")}
    scales = {}
    for name in ("coral", "ethos-u"):
        folder = _exported(own, name, Path(name), **options)
        info = inspect_tflite(folder / "mine.tflite")
        (dense,) = [op for op in info.ops if op.type == "FULLY_CONNECTED"]
        scales[name] = len(info.tensors[dense.inputs[1]].scales)
        document = loads((folder / "network.json").read_bytes())
        assert document.tensors == (info.inputs[0], info.outputs[0])
        assert [tensor.dtype for tensor in document.tensors] == ["int8", "int8"]
        assert "calibration.npy" not in document.files
        assert f"q = round(v / {info.inputs[0].scale!r})" in (folder / "README.md").read_text()
    assert scales == {"coral": 1, "ethos-u": 2}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["fer48", "--for", "tpu"], "--for tpu: no such accelerator; expected one of coral,"),
        (["net.onnx", "--for", "hailo"], "export net.onnx: expected a recipe"),
        (["fer49", "--for", "hailo"], "did you mean fer48?"),
        (["paper_vggface2", "--for", "hailo"], "tells people apart"),
        (["fer48", "--for", "hailo", "--calib", "nowhere"], "--calib nowhere: no such folder"),
    ],
)
def test_bad_input_is_one_line(
    line: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", *line, "--out", "out", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not Path("out").exists()


def test_a_broken_table_is_refused_with_its_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fer_host.export import accelerator

    (tmp_path / "coral.toml").write_text('id = "coral"\ntitle = 3\n')
    monkeypatch.setattr(accelerator, "ACCELERATORS", tmp_path)
    with pytest.raises(RecipeError, match=r"coral.toml: coral\.title"):
        load_accelerator("coral")
