"""``fer-host prune RECIPE``: shipped weights in, smaller weights, model card and plots out."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import nn

from fer_host.boards.predict import load as load_latency
from fer_host.boards.predict import network_ms
from fer_host.errors import RecipeError, WeightsError
from fer_host.files.artifacts import digest_json, sha256_file, write_bytes
from fer_host.files.paths import TRAIN_CACHE
from fer_host.models.weights import build_network, load_network, save_weights, weights_sha256, zoo_path
from fer_host.prune.costs import within
from fer_host.prune.plots import plot_accuracy, plot_channels
from fer_host.prune.schedule import prune
from fer_host.prune.state import STEPS, Run, Step
from fer_host.recipe.prune import Budget, Method, Rank
from fer_host.recipe.recipe import Recipe, load_recipe
from fer_host.recipe.train import TrainConfig
from fer_host.train.curve import Epoch
from fer_host.train.digest import train_digest
from fer_host.train.report import write_card_for
from fer_host.train.rows import train_split, validation_split
from fer_host.train.run import training_data
from fer_host.train.scoring import scores

_PATTERN = "hawqc_mbv2_pruned"


def prunable(recipe: Recipe) -> Recipe:
    """The recipe itself, or with the pruned flagship's constants where it has none.

    Input size, labels and the shares of the crowd and of FER2013's own labels stay its own.
    """
    if recipe.prune is not None:
        return recipe
    if not recipe.train:
        raise RecipeError(
            f"recipe {recipe.id}: has no [[train]] table; expected one that says how its labels are learned"
        )
    pattern = load_recipe(_PATTERN)
    assert pattern.prune is not None

    def for_this_one(cycle: TrainConfig) -> TrainConfig:
        phases = tuple(replace(phase, size_px=recipe.size_px) for phase in cycle.phases)
        own, loss = recipe.train[-1], cycle.loss
        votes, seven = (share * (1 - loss.teacher_share) for share in (own.loss.vote_share, own.loss.fer7_share))
        teacher = recipe.origin if loss.teacher is not None else None
        shares = own.loss.head_shares
        loss = replace(loss, vote_share=votes, fer7_share=seven, teacher=teacher, with_teachers=(), head_shares=shares)
        return replace(cycle, phases=phases, min_votes=own.min_votes, loss=loss)

    config = replace(
        pattern.prune,
        source=recipe.origin,
        size_px=recipe.size_px,
        budget=replace(pattern.prune.budget, ms=None),  # milliseconds are one network's
        rank="importance",  # without them it left the better network (benchmarks/results/pruning.md)
        reward=for_this_one(pattern.prune.reward),
    )
    return replace(recipe, prune=config, train=tuple(for_this_one(cycle) for cycle in pattern.train))


def with_options(
    recipe: Recipe,
    method: Method | None,
    budget: Budget | None,
    round_to: int | None = None,
    rank: Rank | None = None,
) -> Recipe:
    """The recipe with these instead of its own; see ``prunable`` for one without a ``[prune]`` table."""
    recipe = prunable(recipe)
    assert recipe.prune is not None
    changes = {"method": method, "budget": budget, "round_to": round_to, "rank": rank}
    config = replace(recipe.prune, **{key: value for key, value in changes.items() if value is not None})  # type: ignore[arg-type]
    return replace(recipe, prune=config)


def run_pruning(
    recipe: Recipe,
    data_path: Path,
    out: Path | None = None,
    cache: Path | None = None,
    latency_table: Path | None = None,
) -> Path:
    """Prunes and recovers, resuming where a killed run of the same recipe stopped.

    Args:
        recipe: with a ``[prune]`` table, whose ``source`` has shipped weights.
        data_path: see ``training_data``.
        out: the .safetensors file to write; None writes the zoo's.
        cache: folder of the resumable state; None takes one by the recipe's digest.
        latency_table: a board's, by `fer-edge bench --per-op`; for a budget in ms.

    Returns:
        The weights file; model card, confusion matrix, steps and plots stand beside it. A network that does not meet
        the budget is not the zoo's: without ``out`` it is left with the resumable state.
    """
    target = out or zoo_path(recipe).with_suffix(".safetensors")
    if target.suffix != ".safetensors" or not target.parent.is_dir():
        raise WeightsError(f"--out {target}: expected a .safetensors file in a folder that is there")
    config = recipe.prune
    if config is None:
        raise RecipeError(f"recipe {recipe.id}: has no [prune] table; expected one such as hawqc_mbv2_pruned's")
    if config.budget.ms is not None and latency_table is None:
        raise RecipeError(
            f"budget of {config.budget.ms:g} ms: no latency table; expected --latency FILE by fer-edge bench --per-op "
            "(the shipped one was made with benchmarks/latency/x86_64.json), or another budget such as --macs 0.66"
        )
    if config.budget.ms is None and latency_table is not None:
        raise RecipeError("--latency: given without a budget in ms; expected --ms as well")
    table = load_latency(latency_table) if latency_table is not None else None
    ms = network_ms(table, recipe.input.channels, recipe.size_px, "int8") if table is not None else None
    data = training_data(recipe, data_path)
    held_out = validation_split(data)
    source = load_recipe(config.source)
    start = load_network(source)
    parts = [train_digest(recipe, data_path), weights_sha256(start)]
    digest = digest_json(parts + ([sha256_file(latency_table)] if latency_table is not None else []))[:12]
    folder = cache or TRAIN_CACHE / f"{recipe.id}-{config.method}-{digest}"
    before = build_network(source)
    run = Run(
        recipe,
        config,
        start,
        partial(train_split, data, recipe),
        lambda network, size_px: scores(network, recipe, held_out, size_px).accuracy,
        folder,
        ms,
    )
    network = prune(run)
    if not within(run.cost(), run.start_cost, config.budget):
        # the Judge's own network is within its limit, or the floors ended the run
        print(
            f"budget {config.budget}: not met; a smaller network lost more than judge_drop = {config.judge_drop:g}, or "
            f"every layer is at its floor of {config.floor.share:.0%}"
        )
        target = out or folder / f"{recipe.id}.safetensors"
    save_weights(network, target, pruned_from=source.id)
    lines = [Step(**json.loads(line)) for line in (folder / STEPS).read_text().splitlines()]
    write_bytes(target.with_suffix(".steps.jsonl"), (folder / STEPS).read_bytes())
    plot_channels(layer_widths(before), layer_widths(network), target.with_suffix(".channels.png"), recipe.id)
    plot_accuracy(lines, target.with_suffix(".accuracy.png"), recipe.id)
    curve = [
        Epoch(i, recipe.size_px, round(line.loss or 0.0, 4), round(line.accuracy, 5), round(line.minutes, 2))
        for i, line in enumerate(lines)
        if line.accuracy is not None
    ]
    write_card_for(recipe, target, data, curve, lines[-1].minutes)
    return target


def layer_widths(network: nn.Module) -> dict[str, int]:
    """Output channels of every convolution."""
    return {name: m.out_channels for name, m in network.named_modules() if isinstance(m, nn.Conv2d)}
