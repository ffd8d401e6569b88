"""``make test-zoo``: every recipe whose weights ship, from its weights to a bundle that verifies, within the gates.

Accuracies are measured where FER2013's npz is: below FER_DATA, or in ``../shared/data``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fer_edge.contract.bundle import open_bundle
from fer_host.builtin import make_builtin
from fer_host.bundle.golden import PHOTOS
from fer_host.files.paths import BUILTIN, FER2013, ZOO, default_data
from fer_host.models.weights import load_network, package_file, weights_sha256
from fer_host.recipe.recipe import load_recipe, recipe_names
from fer_host.zoo.card import card_markdown, read_card

ROOT = Path(__file__).parents[2]
DATA = default_data() or ROOT.parent / "shared" / "data" / FER2013
SHIPPED = sorted(path.stem for path in ZOO.glob("*.safetensors"))


def test_what_ships_has_a_recipe() -> None:
    assert "hawqc_mbv2" in SHIPPED
    assert set(SHIPPED) <= set(recipe_names())


@pytest.mark.parametrize("model", SHIPPED)
def test_the_card_is_of_the_weights_that_ship(model: str) -> None:
    weights = ZOO / f"{model}.safetensors"
    card = read_card(weights)
    assert card is not None
    assert card.weights_sha256 == weights_sha256(load_network(load_recipe(model)))
    assert weights.with_suffix(".card.md").read_text() == card_markdown(card)


def test_the_built_in_bundle_is_what_convert_makes(tmp_path: Path) -> None:
    made, _ = make_builtin(tmp_path / "builtin")
    assert open_bundle(BUILTIN).manifest.files == made.manifest.files, "make it again: make builtin"


@pytest.mark.parametrize("model", SHIPPED)
def test_a_recipe_converts_within_its_gates(model: str, tmp_path: Path) -> None:
    recipe = load_recipe(model)
    command = [sys.executable, "-m", "fer_host.cli", "convert", model, "--out", str(tmp_path / model)]
    command += ["--data", str(DATA)] if DATA.is_file() else []  # the accuracy gates are convert's own
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    bundle = open_bundle(tmp_path / model)
    assert {"float32", "int8"} <= {variant.id for variant in bundle.manifest.variants}
    if DATA.is_file():
        accuracy = {v.id: v.metrics[0].accuracy for v in bundle.manifest.variants}
        drop = accuracy["float32"] - accuracy["int8"]
        print(f"{model}: float32 {accuracy['float32']:.2%}, int8 {accuracy['int8']:.2%}, drop {drop:.2%}")
        assert drop <= recipe.convert.accuracy_drop
    verify = [sys.executable, "-m", "fer_edge.cli", "verify", "--bundle", str(tmp_path / model)]
    done = subprocess.run(verify, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]
    photo = str(package_file(*PHOTOS["astronaut.png"]))
    for each in recipe.label_sets:
        image = [sys.executable, "-m", "fer_edge.cli", "image", "--bundle", str(tmp_path / model), "--json", photo]
        done = subprocess.run(
            [*image, "--labels", each.id] if recipe.heads else image,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        (face,) = json.loads(done.stdout)[0]["faces"]
        assert tuple(face["probabilities"]) == each.labels
        assert face["label"] == "happiness"
