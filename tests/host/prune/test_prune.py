"""Pruning runs on a real network and few images: budgets are met, a killed run goes on, baselines cut as they say."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from fer_host.errors import RecipeError, WeightsError
from fer_host.models import MODELS
from fer_host.models.weights import load_network, save_weights
from fer_host.prune import run as prune_run
from fer_host.prune import schedule, state
from fer_host.prune.baselines import Growth, growing_penalty
from fer_host.prune.costs import cost_of
from fer_host.prune.run import layer_widths, run_pruning, with_options
from fer_host.prune.schedule import prune
from fer_host.prune.state import Run
from fer_host.recipe.prune import Budget, Floor, Method
from fer_host.recipe.recipe import Recipe, load_recipe
from fer_host.recipe.train import LossConfig, Phase
from fer_host.train.batches import TrainSet, n_steps
from fer_host.train.checkpoint import steps_done

SIZE = 32
ROOT = Path(__file__).parents[3]


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
        train=(
            replace(whole.train[0], phases=short, batch=8, loss=LossConfig(vote_share=1.0, head_shares=(0.7, 0.3))),
        ),
    )


@pytest.fixture(scope="module")
def data() -> TrainSet:
    random = np.random.default_rng(0)
    eight, seven = (np.eye(n, dtype=np.float32)[np.arange(24) % n] for n in (8, 7))
    targets = np.concatenate([0.7 * eight, 0.3 * seven], axis=1)
    return TrainSet(random.integers(0, 256, (24, 48, 48), dtype=np.uint8), targets, ((0, 8), (8, 15)))


def start(recipe: Recipe, data: TrainSet, folder: Path, method: Method = "gated") -> Run:
    torch.manual_seed(0)
    network = MODELS[recipe.network](15, 3, SIZE).eval()
    assert recipe.prune is not None
    config = replace(recipe.prune, method=method)
    return Run(recipe, config, network, lambda _: data, lambda *_: 0.5, folder)


def test_color_and_gray_faces_are_what_the_network_takes(recipe: Recipe) -> None:
    random, targets = np.random.default_rng(0), np.ones((3, 15), dtype=np.float32)
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
    lines = [json.loads(line) for line in (tmp_path / state.STEPS).read_text().splitlines()]
    phases = [line["phase"] for line in lines]
    assert phases[0] == "start"
    assert phases[-1] == "recovery"
    assert ("punish" in phases) == (method == "gated")
    macs = [line["macs"] for line in lines]
    assert macs == sorted(macs, reverse=True)
    with torch.no_grad():
        assert network(torch.zeros(1, 3, SIZE, SIZE)).shape == (1, 15)


def two_rounds(recipe: Recipe, judge_drop: float = 1.0) -> Recipe:
    """The recipe with smaller steps, so that its budget takes more than one round."""
    assert recipe.prune is not None
    return replace(recipe, prune=replace(recipe.prune, filters=0.005, judge_drop=judge_drop))


def phases_of(folder: Path) -> list[tuple[int, str]]:
    lines = [json.loads(line) for line in (folder / state.STEPS).read_text().splitlines()]
    return [(line["round"], line["phase"]) for line in lines]


def assert_same(found: nn.Module, expected: nn.Module) -> None:
    for (name, one), other in zip(expected.state_dict().items(), found.state_dict().values(), strict=True):
        assert one.shape == other.shape, name
        torch.testing.assert_close(other, one, msg=name)


@pytest.mark.parametrize("judge_drop", [1.0, 0.1], ids=["budget met", "last round lost too much"])
def test_a_run_killed_in_every_step_goes_on_to_the_same_network(
    recipe: Recipe, data: TrainSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge_drop: float
) -> None:
    def begun(name: str) -> Run:
        run = start(two_rounds(recipe, judge_drop), data, tmp_path / name)
        # too low within the budget of 90%, which the second round reaches
        run.accuracy = lambda network, _: 0.8 if cost_of(network, 3, SIZE).macs > 0.9 * run.start_cost.macs else 0.5
        return run

    whole = prune(begun("whole"))
    assert max(round_ for round_, _ in phases_of(tmp_path / "whole")) >= 1
    assert (cost_of(whole, 3, SIZE).macs <= 0.9 * begun("new").start_cost.macs) == (judge_drop == 1.0)
    real, calls = schedule.fit, 0

    def dying(*args: object, **kwargs: object) -> tuple[float, float]:
        nonlocal calls
        calls += 1
        if calls % 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(schedule, "fit", dying)
    resumed = None
    while resumed is None:
        with suppress(KeyboardInterrupt):
            resumed = prune(begun("killed"))
    assert phases_of(tmp_path / "killed") == phases_of(tmp_path / "whole")
    assert_same(resumed, whole)


@pytest.mark.parametrize("method", ["gated", "greg"])
def test_a_run_killed_within_a_training_goes_on_to_the_same_network(
    recipe: Recipe, data: TrainSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Method
) -> None:
    assert recipe.prune is not None
    longer = replace(recipe, prune=replace(recipe.prune, baseline_epochs=4))
    whole = prune(start(longer, data, tmp_path / "whole", method))
    real = schedule.train

    def dying(*args: Any, **kwargs: Any) -> tuple[nn.Module, float]:
        network, minutes = real(*args, **kwargs, stop_after=2)
        if steps_done(kwargs["checkpoint"]) < n_steps(len(args[1].images), args[2]):
            raise KeyboardInterrupt
        return network, minutes

    monkeypatch.setattr(schedule, "train", dying)
    resumed, kills = None, 0
    while resumed is None:
        try:
            resumed = prune(start(longer, data, tmp_path / "killed", method))
        except KeyboardInterrupt:
            kills += 1
    assert kills >= 3
    assert_same(resumed, whole)


def test_every_round_draws_anew(
    recipe: Recipe, data: TrainSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seeds = schedule.train, []

    def watched(*args: Any, **kwargs: Any) -> tuple[nn.Module, float]:
        seeds.append((len(args[1].images), args[2].seed))
        return real(*args, **kwargs)

    monkeypatch.setattr(schedule, "train", watched)
    prune(start(two_rounds(recipe), data, tmp_path))
    assert len(seeds) >= 7  # Reward, then two rounds of two Punish steps and a Reward, then recovery
    assert len(set(seeds)) == len(seeds)


def test_the_last_step_takes_no_more_than_the_budget_asks(recipe: Recipe, data: TrainSet, tmp_path: Path) -> None:
    assert recipe.prune is not None
    coarse = replace(recipe, prune=replace(recipe.prune, filters=0.1))
    run = start(coarse, data, tmp_path)
    assert 0.895 < cost_of(prune(run), 3, SIZE).macs / run.start_cost.macs <= 0.9


def test_a_budget_below_the_floors_is_refused_before_training(
    recipe: Recipe, data: TrainSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recipe.prune is not None
    monkeypatch.setattr(schedule, "train", lambda *_, **__: pytest.fail("trained"))
    for method in ("slimming", "greg", "uniform"):
        config = replace(recipe.prune, budget=Budget(macs=0.01))
        run = start(replace(recipe, prune=config), data, tmp_path / method, method)  # type: ignore[arg-type]
        with pytest.raises(RecipeError, match="below what the floors leave"):
            prune(run)


@pytest.mark.parametrize("method", ["gated", "slimming", "uniform"])
def test_widths_are_rounded_on_request(recipe: Recipe, data: TrainSet, tmp_path: Path, method: Method) -> None:
    rounded = with_options(recipe, method, None, round_to=8)
    run = start(rounded, data, tmp_path, method)
    network = prune(run)
    found = layer_widths(network)
    classes = {name for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    odd = {name: width for name, width in found.items() if name not in classes and width % 8}
    floor = rounded.prune.floor  # type: ignore[union-attr]
    assert {name: width for name, width in odd.items() if width - width % 8 >= floor.of(run.start_widths[name])} == {}
    assert len(odd) <= 1, "what the floor keeps is the exception"
    assert any(width < run.start_widths[name] for name, width in found.items())
    assert cost_of(network, 3, SIZE).macs <= 0.9 * run.start_cost.macs


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
    assert taught == [(False, 0.0), (True, shipped.teacher_share)]
    assert asked == [1.0, shipped.vote_share]  # targets by the cycle's own loss


def test_judge_goes_back_to_the_last_network_within_its_limit(recipe: Recipe, data: TrainSet, tmp_path: Path) -> None:
    assert recipe.prune is not None
    config = replace(recipe.prune, judge_drop=0.1, budget=Budget(macs=0.05))
    # start (not the Judge's measure), the Reward before the first Punish, rounds 0 and 1 (too low), recovery
    accuracies = iter([0.9, 0.8, 0.75, 0.6, 0.5])
    run = start(replace(recipe, prune=config), data, tmp_path)
    run.config, run.accuracy = config, lambda *_: next(accuracies)
    network = prune(run)
    lines = [json.loads(line) for line in (tmp_path / state.STEPS).read_text().splitlines()]
    rewards = [line for line in lines if line["phase"] == "reward"]
    assert [line["accuracy"] for line in rewards] == [0.8, 0.75, 0.6]
    assert sum(p.numel() for p in network.parameters()) == rewards[1]["parameters"]


def test_a_kill_between_network_and_line_repeats_the_step_on_the_network_before_it(
    recipe: Recipe, data: TrainSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, writes = state.write_bytes, 0

    def dying(path: Path, content: bytes) -> None:
        nonlocal writes
        writes += path.name == state.STEPS
        if writes == 2:  # the start's line was the first
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(state, "write_bytes", dying)
    with pytest.raises(KeyboardInterrupt):
        prune(start(recipe, data, tmp_path))
    assert state.Log(start(recipe, data, tmp_path)).run.cost() == start(recipe, data, tmp_path / "new").start_cost


def test_a_budget_out_of_reach_says_so_and_the_whole_run_is_written(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
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
    with pytest.raises(WeightsError, match=r"small\.pt: expected a \.safetensors"):
        run_pruning(never, tmp_path / "set", tmp_path / "small.pt")
    monkeypatch.setattr(prune_run, "zoo_path", lambda _: tmp_path / "zoo.safetensors")
    left = run_pruning(never, tmp_path / "set", None, tmp_path / "state")
    assert left == tmp_path / "state" / "hawqc_mbv2_pruned.safetensors"
    assert not (tmp_path / "zoo.safetensors").exists()
    # the Judge went back to the start
    assert sum(p.numel() for p in load_network(recipe, made).parameters()) == 2_243_087


def test_punish_trains_batch_norms_only(recipe: Recipe, data: TrainSet, tmp_path: Path) -> None:
    run = start(recipe, data, tmp_path)
    before = {key: value.clone() for key, value in run.network.state_dict().items()}
    schedule.fit(run, data, schedule.punish_config(run.config, 0), "punish", only_norms=True)
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


def test_growing_penalty_shrinks_the_marked_filters_only(recipe: Recipe, data: TrainSet, tmp_path: Path) -> None:
    run = start(recipe, data, tmp_path)
    channels = run.follow()
    use = channels.layers["features.18.0"]  # the last convolution: groups of its own
    gone = channels.roots(use.outputs)[:100].tolist()
    layer = run.network.get_submodule("features.18.0")
    assert isinstance(layer, nn.Conv2d)
    optimizer = torch.optim.SGD([layer.weight], lr=0.1)
    before = layer.weight.detach().abs().mean(dim=(1, 2, 3))
    for done, n_updates in ((0, 7), (7, 5)):  # killed after seven updates of 18
        with growing_penalty(run.network, channels, gone, Growth(1.0, 18, done)):
            for _ in range(n_updates):
                optimizer.zero_grad()
                (layer.weight * 0).sum().backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    after = layer.weight.detach().abs().mean(dim=(1, 2, 3))
    torch.testing.assert_close(after[100:], before[100:])
    rates = [0.5] * 5 + [1.0] * 7  # grows every five updates, up to its ceiling
    torch.testing.assert_close(after[:100], before[:100] * float(np.prod([1 - 0.1 * rate for rate in rates])))
