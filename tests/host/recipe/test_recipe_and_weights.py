from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fer_edge.contract.specs import LANDMARKS, AlignSpec
from fer_host.errors import RecipeError, WeightsError
from fer_host.evaluate.metrics import drop_label, expected_calibration_error, score
from fer_host.files.paths import RECIPES
from fer_host.models import MODELS
from fer_host.models.mobilenet_v2 import MobileNetV2
from fer_host.models.starts import start_from_body, start_from_imagenet
from fer_host.models.weights import load_network, save_weights, weights_sha256
from fer_host.recipe.recipe import load_detector, load_recipe, paper_recipe_names, recipe_names

RECIPE = load_recipe("hawqc_mbv2")


def test_mobilenet_v2_counts() -> None:
    assert sum(p.numel() for p in MobileNetV2(8).parameters()) == 2_234_120
    assert sum(p.numel() for p in MobileNetV2(1000).parameters()) == 3_504_872


def test_imagenet_weights_fit_and_leave_a_fresh_head() -> None:
    network = MobileNetV2(8)
    start_from_imagenet(network, seed=1)
    again = MobileNetV2(8)
    start_from_imagenet(again, seed=1)
    assert weights_sha256(network) == weights_sha256(again)
    assert network.classifier[1].weight.abs().max() < 0.1  # type: ignore[operator]


@pytest.mark.parametrize(
    ("name", "channels", "why"),
    [("mobilenet_v2", 1, r"features\.0\.0\.weight has shape \(32, 3, 3, 3\).*gray3"), ("larn", 3, "do not fit")],
)
def test_imagenet_weights_that_do_not_fit_are_one_line(name: str, channels: int, why: str) -> None:
    network = MODELS[name](7, channels, 48)
    before = weights_sha256(network)
    with pytest.raises(WeightsError, match=why) as caught:
        start_from_imagenet(network, seed=1)
    assert "\n" not in str(caught.value)
    assert weights_sha256(network) == before


def test_a_resnet_lends_its_body_and_keeps_its_head() -> None:
    other, network = MODELS["resnet50"](3, 1, 48), MODELS["resnet50"](7, 1, 48)
    head = network.get_parameter("fc.weight").clone()
    start_from_body(network, other, "mine")
    assert torch.equal(network.get_parameter("layer4.2.conv3.weight"), other.get_parameter("layer4.2.conv3.weight"))
    assert torch.equal(network.get_parameter("fc.weight"), head)


# as the recipes stated them one by one before they had one source: manifests and training digests hold these numbers
TEMPLATES = {
    48: ((14.9, 18.9), (33.0, 18.9), (24.0, 28.4), (24.0, 37.2)),
    96: ((29.9, 37.8), (66.1, 37.8), (48.0, 56.9), (48.0, 74.4)),
    112: ((34.9, 44.1), (77.1, 44.1), (56.0, 66.4), (56.0, 86.8)),
    224: ((69.8, 88.2), (154.2, 88.2), (112.0, 132.8), (112.0, 173.6)),
}


def test_every_recipe_has_the_one_crop_template_to_the_last_digit() -> None:
    sides = set()
    for name in (*recipe_names(), *paper_recipe_names()):
        align = load_recipe(name).align
        side = align.crop_hw[0]
        assert align == AlignSpec(LANDMARKS, TEMPLATES[side], (side, side)), name
        sides.add(side)
    assert sides == set(TEMPLATES)


def test_a_recipe_may_have_a_crop_geometry_of_its_own(tmp_path: Path) -> None:
    text = (RECIPES / "larn.toml").read_text()
    table = '[align]\nlandmarks = ["nose", "mouth"]\ntemplate = [[1.0, 2.0], [3.0, 4.0]]\ncrop_hw = [16, 8]\n'
    (tmp_path / "own.toml").write_text(text.replace("crop_px = 96\n", "") + table)
    assert load_recipe(str(tmp_path / "own.toml")).align.crop_hw == (16, 8)
    for wrong, said in (
        (text + table, r"crop_px: found beside \[align\]"),
        (text.replace("crop_px = 96\n", ""), "crop_px: missing; expected the side"),
        (text.replace("crop_px = 96", "crop_px = 7"), "crop_px: found 7, expected a whole number of px, at least 8"),
        (text.replace("crop_px = 96", 'crop_px = "96"'), "crop_px: found '96'"),
    ):
        (tmp_path / "own.toml").write_text(wrong)
        with pytest.raises(RecipeError, match=said):
            load_recipe(str(tmp_path / "own.toml"))


def test_every_recipe_decodes_and_names_a_known_detector() -> None:
    assert "hawqc_mbv2" in recipe_names()
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.id == name
        assert load_detector(recipe.detector).id == recipe.detector
        assert all(0 < recipe.convert.tolerance_of(variant) < 1 for variant in recipe.convert.variants)


def test_an_unknown_model_is_one_line_with_the_nearest_name() -> None:
    with pytest.raises(RecipeError, match="did you mean hawqc_mbv2") as caught:
        load_recipe("hawqc_mbv3")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("source_px = 48", "source_px = 4", "input.source_px"),
        ("batch = 64", 'batch = "64"', "train[0].batch"),
        ("seed = 1\n", "", "train[0].seed: missing"),
        ("[[train]]", "[[train]]\nlr = 1.0", "train[0].lr: unknown"),
        ('"int8", "mixed"]', '"int8"]', "convert.variants"),
        ("calibration_set =", "calibration_percentile = 40.0\ncalibration_set =", "calibration_percentile: found 40"),
        ('start = "imagenet"', 'start = "previous"', "the first one of a recipe without"),
        ("[input]", "[input", "not valid TOML"),
    ],
)
def test_a_recipe_that_does_not_fit_names_the_field(tmp_path: Path, old: str, new: str, named: str) -> None:
    text = (RECIPES / "hawqc_mbv2.toml").read_text()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(RecipeError, match=re.escape(named)) as caught:
        load_recipe(str(path))
    assert "\n" not in str(caught.value)


def test_weights_come_back_from_both_formats(tmp_path: Path) -> None:
    network = MobileNetV2(15)
    torch.save(network.state_dict(), tmp_path / "w.pt")
    torch.save({"state_dict": network.state_dict(), "epoch": 3}, tmp_path / "nested.pth")
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    for name in ("w.pt", "nested.pth", "w.safetensors"):
        assert weights_sha256(load_network(RECIPE, tmp_path / name)) == weights_sha256(network)


def test_saved_weights_are_half_precision_and_small(tmp_path: Path) -> None:
    network = MobileNetV2(15)
    save_weights(network, tmp_path / "w.safetensors")
    assert (tmp_path / "w.safetensors").stat().st_size <= 5_000_000
    back = load_network(RECIPE, tmp_path / "w.safetensors").state_dict()
    for key, value in network.state_dict().items():
        torch.testing.assert_close(back[key], value, atol=1e-3, rtol=1e-3)
    assert torch.equal(back["features.0.1.running_var"], network.state_dict()["features.0.1.running_var"])


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("open('/tmp/fer-edge-pwned', 'w')",))


def _bad(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pt")
    if kind == "pickle":
        torch.save({"a": Evil()}, path)
    elif kind == "list":
        torch.save([1, 2], path)
    elif kind == "text" or kind == "safetensors":
        path.write_text("these are not weights")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "shape":
        torch.save(MobileNetV2(7).state_dict(), path)
    elif kind == "keys":
        torch.save({"layer.weight": torch.zeros(3)}, path)
    return path


@pytest.mark.parametrize("kind", ["absent", "pickle", "list", "text", "safetensors", "empty", "shape", "keys"])
def test_weights_that_do_not_fit_are_one_line(tmp_path: Path, kind: str) -> None:
    with pytest.raises(WeightsError, match=r"^weights ") as caught:
        load_network(RECIPE, _bad(tmp_path, kind))
    assert "\n" not in str(caught.value)
    assert not Path("/tmp/fer-edge-pwned").exists()


def test_scores_of_a_small_table() -> None:
    probabilities = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.6, 0.4, 0], [0, 0, 1]], dtype=np.float32)
    found = score(probabilities, np.array([0, 1, 1, 2]))
    assert found.accuracy == pytest.approx(0.75)
    assert found.recall == pytest.approx((1.0, 0.5, 1.0))
    assert found.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]


def test_calibration_error_of_an_overconfident_network() -> None:
    confidence, correct = np.full(100, 0.95, dtype=np.float32), np.arange(100) < 60
    assert expected_calibration_error(confidence, correct) == pytest.approx(0.35, abs=1e-6)


def test_dropping_a_label_keeps_a_distribution() -> None:
    np.testing.assert_allclose(drop_label(np.array([[0.5, 0.25, 0.25]], dtype=np.float32), 0), [[0.5, 0.5]])


@pytest.mark.parametrize(("name", "command"), [("hawqc_mbv2", "train"), ("hawqc_mbv2_pruned", "prune")])
def test_a_recipe_without_weights_names_the_command_that_makes_them(name: str, command: str) -> None:
    recipe = dataclasses.replace(load_recipe(name), id="untrained")
    with pytest.raises(WeightsError, match=f"no trained weights yet.*fer-host {command} untrained"):
        load_network(recipe)
