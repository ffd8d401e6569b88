"""Pruning runs on a real network and few images: budgets are met, a killed run goes on, baselines cut as they say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from fer_edge.contract.errors import SchemaError
from fer_host.errors import RecipeError
from fer_host.models import MODELS
from fer_host.prune import schedule
from fer_host.prune.baselines import gamma_scores, growing_penalty, lowest_share
from fer_host.prune.channels import follow_channels
from fer_host.prune.choose import round_off, widths
from fer_host.prune.config import Budget, Floor, Method
from fer_host.prune.costs import cost_of, within
from fer_host.prune.run import layer_widths, run_pruning, with_options
from fer_host.prune.schedule import Run, prune
from fer_host.prune.shapes import fit_shapes
from fer_host.recipe import Recipe, load_recipe
from fer_host.train.config import LossConfig, Phase
from fer_host.train.loop import TrainSet
from fer_host.weights import load_network, save_weights

SIZE = 32


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """The pruned flagship's recipe cut down to seconds."""
    whole = load_recipe("hawqc_mbv2_pruned")
    assert whole.prune is not None
    short = (Phase(1, SIZE),)
    config = replace(
        whole.prune,
        budget=Budget(macs=0.9),
        size_px=SIZE,
        per_class=2,
        filters=0.01,
        punish_steps=2,
        judge_drop=1.0,
        baseline_epochs=1,
        floor=Floor(0.25, 2),
        reward=replace(whole.prune.reward, phases=short, batch=8),
    )
    return replace(
        whole,
        size_px=SIZE,
        prune=config,
        train=(replace(whole.train[0], phases=short, batch=8, loss=LossConfig(vote_share=1.0)),),
    )


@pytest.fixture(scope="module")
def data() -> TrainSet:
    random = np.random.default_rng(0)
    targets = np.eye(8, dtype=np.float32)[np.arange(24) % 8]
    return TrainSet(random.integers(0, 256, (24, 48, 48), dtype=np.uint8), targets)


def start(recipe: Recipe, data: TrainSet, folder: Path, method: Method = "gated") -> Run:
    torch.manual_seed(0)
    network = MODELS[recipe.network](8, 3, SIZE).eval()
    assert recipe.prune is not None
    config = replace(recipe.prune, method=method)
    return Run(recipe, config, network, lambda _: data, lambda *_: 0.5, folder)


def test_color_and_gray_faces_are_what_the_network_takes(recipe: Recipe) -> None:
    random, targets = np.random.default_rng(0), np.ones((3, 8), dtype=np.float32)
    gray = random.integers(0, 256, (3, 48, 48), dtype=np.uint8)
    rgb = np.repeat(gray[..., None], 3, axis=-1)
    (of_gray, _), (of_rgb, _) = (
        next(schedule.batches(TrainSet(faces, targets), recipe, SIZE)) for faces in (gray, rgb)
    )
    assert of_gray.shape == (3, 3, SIZE, SIZE)
    torch.testing.assert_close(of_gray, of_rgb)


@pytest.mark.parametrize("method", ["gated", "slimming", "greg", "uniform"])
def test_the_budget_is_met_by_a_network_that_is_really_smaller(
    recipe: Recipe, data: TrainSet, tmp_path: Path, method: Method
) -> None:
    run = start(recipe, data, tmp_path, method)
    before = run.start_cost
    network = prune(run)
    after = cost_of(network, 3, SIZE)
    assert after.macs <= 0.9 * before.macs
    assert after.macs >= 0.75 * before.macs, "far below the budget"
    assert after.parameters == sum(p.numel() for p in network.parameters())
    lines = [json.loads(line) for line in (tmp_path / schedule.STEPS).read_text().splitlines()]
    phases = [line["phase"] for line in lines]
    assert phases[0] == "start"
    assert phases[-1] == "recovery"
    assert ("punish" in phases) == (method == "gated")
    macs = [line["macs"] for line in lines]
    assert macs == sorted(macs, reverse=True)
    with torch.no_grad():
        assert network(torch.zeros(1, 3, SIZE, SIZE)).shape == (1, 8)


def test_a_killed_run_goes_on_to_the_same_network(
    recipe: Recipe, data: TrainSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prune(start(recipe, data, tmp_path / "whole"))
    real, calls = schedule.fit, 0

    def dying(*args: object, **kwargs: object) -> tuple[float, float]:
        nonlocal calls
        calls += 1
        if calls in (2, 4):
            raise KeyboardInterrupt
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(schedule, "fit", dying)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            prune(start(recipe, data, tmp_path / "killed"))
    resumed = prune(start(recipe, data, tmp_path / "killed"))
    for (name, expected), found in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert expected.shape == found.shape, name
        torch.testing.assert_close(found, expected, msg=name)


@pytest.mark.parametrize("method", ["gated", "slimming", "uniform"])
def test_widths_are_rounded_on_request(recipe: Recipe, data: TrainSet, tmp_path: Path, method: Method) -> None:
    rounded = with_options(recipe, method, None, round_to=8)
    run = start(rounded, data, tmp_path, method)
    network = prune(run)
    found = layer_widths(network)
    classes = {name for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    assert all(width % 8 == 0 for name, width in found.items() if name not in classes)
    assert any(width < run.start_widths[name] for name, width in found.items())
    assert cost_of(network, 3, SIZE).macs <= 0.9 * run.start_cost.macs


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
    assert (recipe.prune.source, recipe.prune.method, recipe.prune.size_px) == ("larn", "uniform", recipe.size_px)
    assert {phase.size_px for cycle in recipe.train for phase in cycle.phases} == {recipe.size_px}


def test_recovery_learns_from_the_teacher_that_the_recipe_names(
    recipe: Recipe, data: TrainSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught: list[tuple[bool, float]] = []
    real = schedule.train

    def watched(*args: object, **kwargs: object) -> object:
        taught.append((kwargs["teacher"] is not None, args[2].loss.teacher_share))  # type: ignore[attr-defined]
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(schedule, "train", watched)
    shipped = load_recipe("hawqc_mbv2_pruned").train[0].loss
    assert shipped.teacher == "hawqc_mbv2"
    taught_recipe = replace(recipe, train=(replace(recipe.train[0], loss=shipped),))
    asked: list[float] = []
    run = start(taught_recipe, data, tmp_path, "uniform")
    run.data = lambda cycle: asked.append(cycle.loss.vote_share) or data  # type: ignore[func-returns-value]
    prune(run)
    assert taught == [(False, 0.0), (True, 0.5)]
    assert asked == [1.0, 0.5]  # targets by the cycle's own loss


def test_a_budget_in_ms_asks_for_a_table(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"0\.44 ms: no latency table.*--latency"):
        run_pruning(load_recipe("hawqc_mbv2_pruned"), tmp_path / "none.npz")
    other = with_options(load_recipe("hawqc_mbv2_pruned"), None, Budget(macs=0.5))
    with pytest.raises(RecipeError, match="without a budget in ms"):
        run_pruning(other, tmp_path / "none.npz", latency_table=tmp_path / "t.json")


def test_judge_goes_back_to_the_last_network_within_its_limit(recipe: Recipe, data: TrainSet, tmp_path: Path) -> None:
    assert recipe.prune is not None
    config = replace(recipe.prune, judge_drop=0.1, budget=Budget(macs=0.05))
    accuracies = iter([0.8, 0.75, 0.6, 0.5])  # start, round 0, round 1 (too low), recovery
    run = start(replace(recipe, prune=config), data, tmp_path)
    run.config, run.accuracy = config, lambda *_: next(accuracies)
    network = prune(run)
    lines = [json.loads(line) for line in (tmp_path / schedule.STEPS).read_text().splitlines()]
    rewards = [line for line in lines if line["phase"] == "reward"]
    assert [line["accuracy"] for line in rewards] == [0.75, 0.6]
    assert sum(p.numel() for p in network.parameters()) == rewards[0]["parameters"]


def test_a_kill_between_network_and_line_repeats_the_step_on_the_network_before_it(
    recipe: Recipe, data: TrainSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, writes = schedule.write_bytes, 0

    def dying(path: Path, content: bytes) -> None:
        nonlocal writes
        writes += path.name == schedule.STEPS
        if writes == 2:  # the start's line was the first
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(schedule, "write_bytes", dying)
    with pytest.raises(KeyboardInterrupt):
        prune(start(recipe, data, tmp_path))
    assert schedule.Log(start(recipe, data, tmp_path)).run.cost() == start(recipe, data, tmp_path / "new").start_cost


def test_a_budget_out_of_reach_says_so_and_the_whole_run_is_written(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(1)
    for split in ("train", "test"):
        for label in ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"):
            (tmp_path / "set" / split / label).mkdir(parents=True)
            for i in range(4):
                face = random.integers(0, 255, (48, 48), dtype=np.uint8)
                cv2.imwrite(str(tmp_path / "set" / split / label / f"{i}.png"), face)
    assert recipe.prune is not None
    never = replace(recipe, prune=replace(recipe.prune, judge_drop=-1.0, budget=Budget(macs=0.5)))
    made = run_pruning(never, tmp_path / "set", tmp_path / "out.safetensors", tmp_path / "state")
    assert "budget 0.5 of the MACs: not met; a smaller network lost more than judge_drop" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.glob("out.*")) == [
        "out.accuracy.png",
        "out.card.json",
        "out.card.md",
        "out.channels.png",
        "out.confusion.png",
        "out.safetensors",
        "out.steps.jsonl",
    ]
    # the Judge went back to the start
    assert sum(p.numel() for p in load_network(recipe, made).parameters()) == 2_234_120


def test_punish_trains_batch_norms_only(recipe: Recipe, data: TrainSet, tmp_path: Path) -> None:
    run = start(recipe, data, tmp_path)
    before = {key: value.clone() for key, value in run.network.state_dict().items()}
    schedule.fit(run, data, schedule.punish_config(run.config), "punish", only_norms=True)
    for name, module in run.network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert torch.equal(module.weight, before[f"{name}.weight"]), name
    moved = run.network.get_submodule("features.0.1").weight
    assert not torch.equal(moved, before["features.0.1.weight"])  # type: ignore[arg-type]
    assert all(p.requires_grad for p in run.network.parameters())


def test_a_pruned_network_is_saved_and_loaded(recipe: Recipe, data: TrainSet, tmp_path: Path) -> None:
    network = prune(start(recipe, data, tmp_path / "run", "uniform"))
    save_weights(network, tmp_path / "w.safetensors", pruned_from="hawqc_mbv2")
    # the file says that it is smaller, so that a recipe without [prune] takes it too
    found = load_network(replace(load_recipe("hawqc_mbv2"), size_px=SIZE), tmp_path / "w.safetensors")
    x = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        torch.testing.assert_close(found(x), network(x), rtol=0.02, atol=0.02)  # stored in half precision


@pytest.mark.parametrize("name", ["ddamfn", "lfer_ldl", "shufflenet_ldam_stem1", "larn"])
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


def test_growing_penalty_shrinks_the_marked_filters_only(recipe: Recipe, data: TrainSet, tmp_path: Path) -> None:
    run = start(recipe, data, tmp_path)
    channels = run.follow()
    use = channels.layers["features.18.0"]  # the last convolution: groups of its own
    gone = channels.roots(use.outputs)[:100].tolist()
    layer = run.network.get_submodule("features.18.0")
    assert isinstance(layer, nn.Conv2d)
    optimizer = torch.optim.SGD([layer.weight], lr=0.1)
    before = layer.weight.detach().abs().mean(dim=(1, 2, 3))
    with growing_penalty(run.network, channels, gone, 0.5, 1.0):
        for _ in range(12):
            optimizer.zero_grad()
            (layer.weight * 0).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    after = layer.weight.detach().abs().mean(dim=(1, 2, 3))
    torch.testing.assert_close(after[100:], before[100:])
    rates = [0.5] * 5 + [1.0] * 7  # grows every five updates, up to its ceiling
    torch.testing.assert_close(after[:100], before[:100] * float(np.prod([1 - 0.1 * rate for rate in rates])))


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
