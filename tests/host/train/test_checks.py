"""What cannot be trained is refused before the first step, in one line; all that ships can be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fer_edge.contract.errors import SchemaError
from fer_host import cli
from fer_host.errors import RecipeError
from fer_host.models.weights import build_network, zoo_path
from fer_host.recipe.ablations import ablated, ablations
from fer_host.recipe.recipe import Recipe, load_recipe, paper_recipe_names, recipe_names
from fer_host.recipe.train import LossConfig, Phase
from fer_host.train import teacher
from fer_host.train.checks import check_recipe
from fer_host.train.parallel import Team

PRUNED = ("hawqc_mbv2_pruned", "hawqc_mbv2_tiny", "paper_gated_pruning")
TRAINED = [name for name in (*recipe_names(), *paper_recipe_names()) if name not in PRUNED]


def cycle_of(recipe: Recipe, **changes: object) -> Recipe:
    """The recipe with one thing changed in its last cycle."""
    return replace(recipe, train=(*recipe.train[:-1], replace(recipe.train[-1], **changes)))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def no_trained_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    """paper_resnet50 ships no weights: fresh ones take their place."""
    monkeypatch.setattr(teacher, "load_network", build_network)


@pytest.mark.parametrize("name", TRAINED)
def test_all_other_recipes_can_be_trained(name: str) -> None:
    check_recipe(load_recipe(name))


@pytest.mark.parametrize("name", ["ddamfn", "shufflenet_ldam", "lfer_ldl", "larn"])
def test_ablations_can_be_trained(name: str) -> None:
    recipe = load_recipe(name)
    for ablation in ablations(recipe):
        check_recipe(ablated(recipe, ablation))


@pytest.mark.parametrize("name", PRUNED)
@pytest.mark.parametrize("command", ["train", "kfold"])
def test_what_pruning_makes_is_not_trained(
    name: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "w.safetensors"
    assert cli.main([command, name, "--data", str(tmp_path), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"`fer-host prune {name} --data …`" in line
    assert not out.exists()


@pytest.mark.parametrize("name", [name for name in PRUNED if not name.startswith("paper")])
def test_pruned_weights_may_be_trained_on_from(name: str) -> None:
    recipe = load_recipe(name)
    check_recipe(recipe, pruned=zoo_path(recipe))


def test_no_epoch_at_the_size_that_ships() -> None:
    recipe = cycle_of(load_recipe("hawqc_mbv2"), phases=(Phase(1, 64), Phase(1, 80)))
    with pytest.raises(RecipeError, match=r"trains at 64 and 80 px.*size_px = 96"):
        check_recipe(recipe)


def test_only_the_last_cycle_ships() -> None:
    recipe = load_recipe("shufflenet_ldam")
    first, last = recipe.train
    check_recipe(replace(recipe, train=(replace(first, phases=(Phase(1, 64),)), last)))
    with pytest.raises(RecipeError, match="no epoch could be kept"):
        check_recipe(replace(recipe, train=(first, replace(last, phases=(Phase(1, 64),)))))


@pytest.mark.parametrize(("name", "size_px"), [("ddamfn", 64), ("larn", 56), ("lfer_ldl", 128)])
def test_a_size_that_the_network_was_not_built_for(name: str, size_px: int) -> None:
    recipe = load_recipe(name)
    phases = (Phase(1, size_px), Phase(1, recipe.size_px))
    with pytest.raises(RecipeError, match=f"built for {recipe.size_px} px, cannot take {size_px} px"):
        check_recipe(cycle_of(recipe, phases=phases))


@pytest.mark.parametrize(("network", "heads"), [("larn", 0), ("mfn", 0), ("ddamfn_0_heads", 0), ("ddamfn_1_heads", 1)])
def test_an_attention_loss_needs_heads(network: str, heads: int) -> None:
    recipe = load_recipe("ddamfn")
    with pytest.raises(RecipeError, match=f"{network} has {heads} attention heads, expected 2 or more") as caught:
        check_recipe(replace(recipe, network=network))
    assert "\n" not in str(caught.value)
    check_recipe(replace(recipe, network="ddamfn_3_heads"))


def test_a_batch_that_the_team_cannot_share() -> None:
    recipe = load_recipe("larn")  # batch 64
    with pytest.raises(RecipeError, match="3 processes cannot share a batch of 64"):
        check_recipe(recipe, Team(0, 3, torch.device("cpu")))
    check_recipe(recipe, Team(0, 4, torch.device("cpu")))


def test_a_teacher_of_other_labels() -> None:
    recipe = load_recipe("larn")  # fer7
    loss = LossConfig(0.5, teacher_share=0.5, teacher="lfer_ldl")
    refused = r"lfer_ldl knows ferplus8 \(8 classes\), expected fer7 \(7 classes\)"
    with pytest.raises(RecipeError, match=refused):
        check_recipe(cycle_of(recipe, loss=loss))
    check_recipe(cycle_of(recipe, loss=replace(loss, teacher="ddamfn")))
    check_recipe(cycle_of(recipe, loss=replace(loss, teacher="hawqc_mbv2")))  # it knows both sets
    with pytest.raises(RecipeError, match=refused):
        check_recipe(cycle_of(recipe, loss=replace(loss, teacher="hawqc_mbv2", with_teachers=("lfer_ldl",))))


def test_a_cycle_is_no_longer_than_what_it_is_a_part_of() -> None:
    cycle = load_recipe("shufflenet_ldam").train[0]  # 14 of 50 epochs
    with pytest.raises(SchemaError, match=r"schedule\.of_epochs.*found 13, expected at least the 14"):
        replace(cycle, schedule=replace(cycle.schedule, of_epochs=13))
    replace(cycle, schedule=replace(cycle.schedule, of_epochs=14))
