"""Networks that come as a file: what is taken, what is refused in one line, and that nothing in them runs as code."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from fer_host.convert.onnx_export import export_onnx, run_onnx, run_torch
from fer_host.errors import RecipeError, WeightsError
from fer_host.models.exported import load_exported
from fer_host.models.onnx_file import open_onnx
from fer_host.models.own import build_own
from fer_host.models.weights import weights_sha256
from fer_host.recipe.of_file import FileInput, input_of, recipe_of_file

SHAPES = Path(__file__).parents[2] / "public_shapes.py"
NETWORKS = {"ResNet": 64, "MobileNetV3": 64, "Cnn64": 64}


def made(name: str) -> nn.Module:
    """A public shape with settled weights."""
    namespace: dict[str, Any] = {"__name__": "shapes"}
    exec(compile(SHAPES.read_text(), str(SHAPES), "exec"), namespace)
    network: nn.Module = namespace["settled"](build_own(f"{SHAPES}:{name}", 7, 3, NETWORKS[name]), NETWORKS[name])
    return network


@pytest.mark.parametrize("name", NETWORKS)
def test_public_shapes_come_as_class_program_and_onnx_and_answer_alike(name: str, tmp_path: Path) -> None:
    network, size_px = made(name), NETWORKS[name]
    x = np.random.default_rng(0).random((3, size_px, size_px, 3), dtype=np.float32)
    expected = run_torch(network, x)
    assert np.ptp(expected, axis=0).max() > 0.1, "answers that are all alike tell nothing"
    example = (torch.zeros(2, 3, size_px, size_px),)
    torch.onnx.export(network, example, tmp_path / "n.onnx", opset_version=13, dynamo=False, input_names=["x"],
                      dynamic_axes={"x": {0: "n", 2: "h", 3: "w"}})  # fmt: skip
    torch.export.save(torch.export.export(network, (example[0][:1],)), tmp_path / "n.pt2")
    opened = {
        "onnx": open_onnx(tmp_path / "n.onnx", 7, 3, size_px),
        "pt2": load_exported(tmp_path / "n.pt2", 7, 3, size_px),
        "class": network,
    }
    for kind, each in opened.items():
        assert np.abs(run_torch(each, x) - expected).max() < 1e-3, kind
        export_onnx(each, (size_px, size_px), tmp_path / "out.onnx", 3, is_own=True)
        assert np.abs(run_onnx(tmp_path / "out.onnx", x) - expected).max() < 1e-3, kind
        left = {node.op_type for node in onnx.load(tmp_path / "out.onnx").graph.node}
        assert not left & {"HardSwish", "HardSigmoid", "PRelu"}, "int8 cannot hold these"
        for node in onnx.load(tmp_path / "out.onnx").graph.node:
            assert node.op_type != "MaxPool" or not any(a.name == "pads" and any(a.ints) for a in node.attribute)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of one layer, as ONNX and as an exported program."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    network.eval()
    x = (torch.zeros(1, 1, 16, 16),)
    torch.onnx.export(network, x, folder / "n.onnx", opset_version=17, dynamo=False)
    torch.onnx.export(nn.Sequential(network, nn.Softmax(1)), x, folder / "soft.onnx", opset_version=17, dynamo=False)
    torch.export.save(torch.export.export(network, x), folder / "n.pt2")
    return folder


def changed(source: Path, target: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(source)
    change(model)
    target.write_bytes(model.SerializeToString())
    return target


def _identity_behind(model: onnx.ModelProto) -> None:
    output = model.graph.output[0]
    model.graph.node.append(onnx.helper.make_node("Identity", [output.name], ["same"]))
    output.name = "same"


def test_a_softmax_at_the_end_is_taken_off(tiny: Path, tmp_path: Path) -> None:
    x = torch.rand(1, 1, 16, 16)
    plain, soft = (open_onnx(tiny / name, 3, 1, 16) for name in ("n.onnx", "soft.onnx"))
    assert torch.allclose(plain(x), soft(x), atol=1e-6)
    behind = open_onnx(changed(tiny / "soft.onnx", tmp_path / "behind.onnx", _identity_behind), 3, 1, 16)
    assert torch.allclose(plain(x), behind(x), atol=1e-6)


def test_weights_and_constants_count_in_the_digest(tiny: Path, tmp_path: Path) -> None:
    def shift(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) + 1, tensor.name))

    first = weights_sha256(open_onnx(tiny / "n.onnx", 3, 1, 16))
    assert weights_sha256(open_onnx(tiny / "n.onnx", 3, 1, 16)) == first
    assert weights_sha256(open_onnx(changed(tiny / "n.onnx", tmp_path / "m.onnx", shift), 3, 1, 16)) != first


def _location(value: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=value)

    return change


def _opset(version: int) -> Callable[[onnx.ModelProto], None]:
    return lambda model: setattr(model.opset_import[0], "version", version)


def _custom(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.microsoft"


def _no_nodes(model: onnx.ModelProto) -> None:
    del model.graph.node[:]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_location("/etc/hostname"), "expected a file in the network's own folder"),
        (_location("../outside.bin"), "expected a file in the network's own folder"),
        (_location("link.bin"), "expected a file in the network's own folder"),
        (_location(""), "expected a file in the network's own folder"),
        (_opset(200), "opset 200 cannot be brought to 17"),
        (_custom, r"com\.microsoft\.Conv"),
        (_no_nodes, "no operator"),
    ],
)
def test_an_onnx_file_that_cannot_be_used_is_one_line(
    tiny: Path, tmp_path: Path, change: Callable[[onnx.ModelProto], None], said: str
) -> None:
    (tmp_path / "outside.bin").write_bytes(bytes(1000))
    home = tmp_path / "home"
    home.mkdir()
    (home / "link.bin").symlink_to(tmp_path / "outside.bin")
    with pytest.raises(WeightsError, match=said) as caught:
        open_onnx(changed(tiny / "n.onnx", home / "m.onnx", change), 3, 1, 16)
    assert "\n" not in str(caught.value)


def test_weights_in_a_file_beside_it_are_taken(tiny: Path, tmp_path: Path) -> None:
    model = onnx.load(tiny / "n.onnx")
    onnx.save_model(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    x = torch.rand(1, 1, 16, 16)
    assert torch.equal(open_onnx(tmp_path / "m.onnx", 3, 1, 16)(x), open_onnx(tiny / "n.onnx", 3, 1, 16)(x))


@pytest.mark.parametrize("kind", ["n.onnx", "n.pt2"])
@pytest.mark.parametrize(
    ("n_classes", "channels", "size_px", "said"),
    [(4, 1, 16, r"gives \(1, 3\)"), (3, 3, 16, r"takes|does not run"), (3, 1, 24, r"takes|does not run")],
)
def test_what_the_command_line_says_must_fit(
    tiny: Path, kind: str, n_classes: int, channels: int, size_px: int, said: str
) -> None:
    opener = open_onnx if kind.endswith("onnx") else load_exported
    with pytest.raises(WeightsError, match=said):
        opener(tiny / kind, n_classes, channels, size_px)


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
@pytest.mark.parametrize("content", [b"", b"no network at all", b"PK\x05\x06" + bytes(18)])
def test_other_files_are_one_line(tmp_path: Path, kind: str, content: bytes) -> None:
    path = tmp_path / f"n.{kind}"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        (open_onnx if kind == "onnx" else load_exported)(path, 3, 1, 16)
    assert "\n" not in str(caught.value)


class Bomb:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.write_text, (self.path, "ran"))


def repacked(source: Path, target: Path, change: Callable[[str, bytes], bytes | None], more: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
        for name, content in more.items():
            new.writestr(name, content)
    return target


def in_model(change: Callable[[dict[str, Any]], None]) -> Callable[[str, bytes], bytes]:
    def changed_file(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        document = json.loads(content)
        change(document)
        return json.dumps(document).encode()

    return changed_file


def _call(target: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["graph_module"]["graph"]["nodes"][0].update(target=target)


def test_code_in_an_exported_program_does_not_run(tiny: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    buffer = io.BytesIO()
    torch.save(Bomb(ran), buffer)
    expression = f"open('{ran}', 'w')"
    attacks: dict[str, tuple[Callable[[str, bytes], bytes | None], dict[str, bytes]]] = {
        "pickled inputs": (lambda name, content: buffer.getvalue() if "sample_inputs" in name else content, {}),
        "pickled object": (lambda _, content: content, {"n/data/constants/custom_obj_0": pickle.dumps(Bomb(ran))}),
        "library": (lambda _, content: content, {"n/data/aotinductor/model/x.so": b"\x7fELF"}),
        "function": (in_model(_call("torch.hub.os.system")), {}),
        "expression": (in_model(lambda d: d.update(more={"expr_str": expression})), {}),
        "name": (in_model(lambda d: d.update(more={"expr_str": "preview(s0)"})), {}),
        "guard": (in_model(lambda d: d.update(guards_code=[expression])), {}),
    }
    for what, (change, more) in attacks.items():
        path = repacked(tiny / "n.pt2", tmp_path / "bad.pt2", change, more)
        with pytest.raises(WeightsError) as caught:
            load_exported(path, 3, 1, 16)
        assert "\n" not in str(caught.value), what
        assert not ran.exists(), what


def test_an_input_in_words(tmp_path: Path) -> None:
    spec, size_px = input_of("gray,48")
    assert (spec.channels, size_px, spec.mean, spec.std) == (1, 48, (0.0,), (1.0,))
    spec, size_px = input_of("rgb, 224, imagenet")
    assert (spec.source_px, spec.mean[0], size_px) == (224, 0.485, 224)
    assert input_of("gray,48,standardize")[0].normalize == "standardize"
    for wrong in ("gray", "rgb,x", "bgr,48", "rgb,48,byte", "gray,48,imagenet", "rgb,4", "rgb,48,0..1,more"):
        with pytest.raises(RecipeError, match="--input"):
            input_of(wrong)
    recipe = recipe_of_file(tmp_path / "my net (1).onnx", FileInput("calm, tired", "rgb,64"))
    assert (recipe.id, recipe.label_names, recipe.align.crop_hw) == ("my_net_1_", ("calm", "tired"), (96, 96))
    with pytest.raises(RecipeError, match="--labels"):
        recipe_of_file(tmp_path / "n.onnx", FileInput("calm,calm", "rgb,64"))
