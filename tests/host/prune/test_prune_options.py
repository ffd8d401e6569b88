"""What a pruning run is asked for and what it leaves: budgets, rounded widths, recipes, shapes; without training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from fer_edge.contract.errors import SchemaError
from fer_host.cli import main
from fer_host.errors import RecipeError
from fer_host.models import MODELS
from fer_host.models.shapes import fit_shapes
from fer_host.models.weights import load_network
from fer_host.prune import schedule
from fer_host.prune.baselines import gamma_scores, lowest_share
from fer_host.prune.channels import follow_channels
from fer_host.prune.choose import round_off, widths
from fer_host.prune.costs import cost_of, within
from fer_host.prune.run import run_pruning, with_options
from fer_host.recipe.prune import Budget, Floor
from fer_host.recipe.recipe import load_recipe

SIZE = 32
ROOT = Path(__file__).parents[3]


def test_rounding_keeps_floors_and_pinned_channels() -> None:
    network = nn.Sequential(nn.Conv2d(3, 13, 1), nn.BatchNorm2d(13), nn.Conv2d(13, 6, 1), nn.BatchNorm2d(6))
    network = nn.Sequential(*network, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2)).eval()
    channels = follow_channels(network, 3, 4)
    scores = gamma_scores(channels, network)
    start_widths = widths(channels)
    gone = round_off(channels, scores, [], 4, start_widths, Floor(0.1, 5))
    smaller = schedule.slice_network(network, channels, gone)
    assert [module.out_channels for module in smaller if isinstance(module, nn.Conv2d)] == [12, 6]  # 4 is below 5
    assert round_off(channels, scores, [], 1, start_widths, Floor()) == []


def test_any_recipe_is_pruned_with_the_flagships_constants() -> None:
    recipe = with_options(load_recipe("larn"), "uniform", Budget(macs=0.5))
    assert recipe.prune is not None
    assert with_options(load_recipe("larn"), None, None).prune.budget.ms is None  # type: ignore[union-attr]
    assert recipe.prune.rank == "importance"
    assert with_options(recipe, None, None, rank="importance_per_cost").prune.rank == "importance_per_cost"  # type: ignore[union-attr]
    assert (recipe.prune.source, recipe.prune.method, recipe.prune.size_px) == ("larn", "uniform", recipe.size_px)
    assert {phase.size_px for cycle in recipe.train for phase in cycle.phases} == {recipe.size_px}
    # larn was trained on 30% of the votes and 70% of FER2013's own labels, and is judged by those
    assert recipe.prune.reward.loss.vote_share == 0.3
    assert recipe.prune.reward.min_votes == 0
    pattern = load_recipe("hawqc_mbv2_pruned").train
    for recovery, like in zip(recipe.train, pattern, strict=True):
        loss = recovery.loss
        assert (recovery.min_votes, loss.teacher, loss.teacher_share) == (0, "larn", like.loss.teacher_share)
        assert loss.vote_share == pytest.approx(0.3 * (1 - loss.teacher_share))
        assert (loss.fer7_share, loss.vote_share + loss.label_share) == (0.0, pytest.approx(1 - loss.teacher_share))


def test_a_budget_in_ms_asks_for_a_table(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"0\.45 ms: no latency table.*--latency"):
        run_pruning(load_recipe("hawqc_mbv2_pruned"), tmp_path / "none.npz")
    other = with_options(load_recipe("hawqc_mbv2_pruned"), None, Budget(macs=0.5))
    with pytest.raises(RecipeError, match="without a budget in ms"):
        run_pruning(other, tmp_path / "none.npz", latency_table=tmp_path / "t.json")


@pytest.mark.parametrize("name", ["ddamfn", "lfer_ldl", "shufflenet_ldam_stem1", "larn", "fer48"])
def test_shapes_of_every_network_come_back(name: str) -> None:
    size_px = 96 if name == "lfer_ldl" else 48
    torch.manual_seed(0)
    network = MODELS[name](7, 1, size_px).eval()
    channels = follow_channels(network, 1, size_px)
    gone = lowest_share(channels, gamma_scores(channels, network), 0.3, widths(channels), Floor())
    smaller = schedule.slice_network(network, channels, gone)
    again = MODELS[name](7, 1, size_px).eval()
    fit_shapes(again, smaller.state_dict())
    again.load_state_dict(smaller.state_dict())
    x = torch.randn(1, 1, size_px, size_px)
    with torch.no_grad():
        torch.testing.assert_close(again(x), smaller(x))


@pytest.mark.parametrize("name", ["hawqc_mbv2", "hawqc_mbv2_pruned", "larn", "lfer_ldl"])
def test_size_of_the_int8_file_is_estimated_within_two_percent(name: str) -> None:
    """Against the files that the shipped weights make: the table that `make bench` wrote."""
    network = load_network(load_recipe(name))
    table = (ROOT / "benchmarks" / "results" / "zoo.md").read_text()
    row = next(line for line in table.splitlines() if line.startswith(f"| `{name}` |"))
    made = int(row.split("|")[6].replace(",", ""))
    recipe = load_recipe(name)
    found = cost_of(network, recipe.input.channels, recipe.size_px).int8_kib * 1024
    assert found == pytest.approx(made, rel=0.02)


def test_budgets_by_table() -> None:
    from fer_host.prune.costs import Cost

    start_cost, cost = Cost(1000, 2000, 3.0, 9.0), Cost(800, 1000, 2.0, 5.0)
    for budget, met in (
        (Budget(macs=0.5), True),
        (Budget(macs=0.49), False),
        (Budget(parameters=0.8, macs=0.5), True),
        (Budget(parameters=0.7, macs=0.5), False),
        (Budget(int8_kib=2.0), True),
        (Budget(int8_kib=1.9), False),
        (Budget(ms=5.0), True),
        (Budget(ms=4.0), False),
    ):
        assert within(cost, start_cost, budget) is met, budget
    assert not within(Cost(1, 1, 1.0), start_cost, Budget(ms=9.0)), "not measured is not met"
    for wrong in ({}, {"macs": 1.5}, {"ms": 0.0}):
        with pytest.raises(SchemaError):
            Budget(**wrong)


def test_the_zoos_weights_are_not_replaced_by_a_baselines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "hawqc_mbv2_pruned", "--method", "uniform", "--macs", "0.5"]) == 2
    assert "--out: not given; expected a file, because host/zoo holds hawqc_mbv2_pruned" in capsys.readouterr().err
