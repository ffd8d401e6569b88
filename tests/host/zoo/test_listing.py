"""``fer-host models``: what the command prints is what its facts sheets and cards say."""

from __future__ import annotations

import json

import pytest
from safetensors import safe_open

from fer_host import cli
from fer_host.models.weights import zoo_path
from fer_host.recipe.recipe import load_recipe, paper_recipe_names, recipe_names
from fer_host.zoo.card import read_card
from fer_host.zoo.listing import SCHEMA, format_table, recipe_row

# recipe -> all parameters, as its paper counts them, input, outputs
RECIPES = {
    "larn": (1_523_655, 1_523_655, [1, 48, 48], 7),
    "ddamfn": (4_076_175, 4_076_175, [1, 48, 48], 7),  # the head's kernels follow a last map of 3x3
    "shufflenet_ldam": (1_262_092, 1_245_868, [1, 48, 48], 7),
    "lfer_ldl": (1_283_526, 1_263_422, [1, 96, 96], 8),
    "hawqc_mbv2": (2_243_087, 2_243_087, [3, 96, 96], 15),
}
# system in its paper's form -> all parameters, FLOPs as the paper counts them, in millions
PAPERS = {
    "LARN": (1_524_807, None),
    "LARN, gray": (1_523_655, None),
    "DDAMFN": (4_105_999, 551.216),
    "ShuffleNetV2+LDAM": (1_262_092, None),
    "LFER-LDL": (1_283_024, 294.606),
    "LFER-LDL: output module only": (1_272_816, 291.514),
    "LFER-LDL: ShuffleNet baseline": (1_261_559, 291.482),
    "thesis: MobileNetV2": (2_234_120, None),
}


def test_the_listing_states_the_pinned_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == SCHEMA
    assert {row["name"] for row in document["recipes"]} == set(recipe_names())
    assert {row["name"] for row in document["paper_recipes"]} == set(paper_recipe_names())
    assert set(document["ablations"]) == {*recipe_names(), *paper_recipe_names()}
    rows = {row["name"]: row for row in document["recipes"]}
    found = {name: tuple(rows[name][key] for key in ("parameters", "paper_parameters", "input", "classes"))
             for name in RECIPES}  # fmt: skip
    assert found == RECIPES
    systems = {row["system"]: row for row in document["papers"]}
    for system, (parameters, flops) in PAPERS.items():
        assert systems[system]["parameters"] == parameters, system
        if flops is not None:
            assert systems[system]["paper_flops"] / 1e6 == pytest.approx(flops, abs=5e-4), system
    for name, row in rows.items():
        path = zoo_path(load_recipe(name))
        assert row["weights"] == path.is_file()
        card = read_card(path)
        assert row["accuracy"] == ({} if card is None else {s.protocol: s.accuracy for s in card.float_scores})


def test_the_table_states_them_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    own = lines[: lines.index("")]
    for name, (parameters, paper, size, classes) in RECIPES.items():
        (line,) = [line for line in own if line.split()[0] == name]
        assert line.split()[1:3] == [f"{parameters:,}", f"{paper:,}"]
        assert f"{size[0]}x{size[1]}x{size[2]} " in line
        assert f" {classes} " in f"{line} "
    assert any(line.startswith("lfer_ldl ") and "baseline, output_module" in line for line in lines)


def test_a_pruned_recipe_is_counted_as_it_ships() -> None:
    recipe = load_recipe("hawqc_mbv2_pruned")
    row = recipe_row(recipe)
    with safe_open(zoo_path(recipe), "np") as file:
        sizes = [file.get_tensor(key).size for key in file.keys() if key.endswith((".weight", ".bias"))]  # noqa: SIM118
    assert row.parameters == sum(sizes) < RECIPES["hawqc_mbv2"][0]
    assert f"{sum(sizes):,}" in format_table([row], [], [], {})
