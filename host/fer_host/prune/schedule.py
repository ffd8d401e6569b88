"""Read this first: Punish, Reward, Judge (the thesis' gated pruning), step by step, resumable.

Punish removes the filters whose gates matter least, and lets the batch norms settle; Reward trains everything with a
price on gamma; Judge stops at the budget, or when accuracy falls too far, and hands over to recovery training. Before
the first Punish there is one Reward (the Gate Decorator's code has it): the start learns the size that is pruned at, so
that the Judge compares like with like.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from fer_host.data.augment import normalized, planes
from fer_host.data.pieces import pieces
from fer_host.data.streamed import some
from fer_host.prune.baselines import (
    Growth,
    gamma_scores,
    growing_penalty,
    lowest_share,
    norm_scores,
    smallest_that_fits,
)
from fer_host.prune.channels import Channels
from fer_host.prune.choose import choose, round_off
from fer_host.prune.costs import cost_of, within
from fer_host.prune.importance import Scores, group_scores, measure_gates
from fer_host.prune.prices import group_ms, group_savings, per_cost
from fer_host.prune.state import Log, Run
from fer_host.prune.surgery import slice_network
from fer_host.recipe.prune import PruneConfig
from fer_host.recipe.recipe import Recipe
from fer_host.recipe.train import LossConfig, OptimizerConfig, Phase, ScheduleConfig, TrainConfig
from fer_host.train.batches import TrainSet
from fer_host.train.checkpoint import steps_done
from fer_host.train.loop import train
from fer_host.train.teacher import load_teachers


def balanced_subset(data: TrainSet, per_class: int, seed: int) -> TrainSet:
    """``per_class`` images of each class (by its largest target), or all there are."""
    random = np.random.default_rng(seed)
    labels = data.targets.argmax(axis=1)
    rows = [random.permutation(np.flatnonzero(labels == label))[:per_class] for label in np.unique(labels)]
    picked = np.sort(np.concatenate(rows))
    return replace(data, images=some(data.images, picked), targets=data.targets[picked])


def batches(
    data: TrainSet, recipe: Recipe, size_px: int, batch: int = 64
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Normalized inputs (N, C, H, W) without augmentation, and targets (N, classes)."""
    start = 0
    for part, readable in pieces(data.images, batch):
        x = functional.interpolate(planes(part[readable]), (size_px, size_px), mode="bilinear", align_corners=False)
        yield normalized(x, recipe.input), torch.from_numpy(data.targets[start : start + len(part)][readable])
        start += len(part)


def punish_config(config: PruneConfig, number: int) -> TrainConfig:
    """The ``number``th pass over the subset with the augmentation of Reward; no class weights, no price on gamma."""
    return replace(
        drawn_anew(config.reward, number),
        phases=(Phase(1, config.size_px),),
        ema_decay=0.0,
        optimizer=OptimizerConfig("sgd", config.punish_lr, 0.9, 0.0, 0.0),
        schedule=ScheduleConfig("constant"),
        loss=LossConfig(vote_share=config.reward.loss.vote_share),
    )


def drawn_anew(config: TrainConfig, number: int) -> TrainConfig:
    """The same training with draws of its own: the order of images, and what augmentation makes of them."""
    return replace(config, seed=config.seed + 1000 * number)


def fit(run: Run, data: TrainSet, config: TrainConfig, name: str, only_norms: bool = False) -> tuple[float, float]:
    """Trains the network as it is now; gives mean loss of the last epoch and minutes. Resumes by its name."""
    losses = [0.0]
    for module in run.network.modules():
        norm = isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(norm or not only_norms)
    state = run.folder / f"{name}.pt"
    run.network, minutes = train(
        run.network,
        data,
        config,
        normalize=run.recipe.input,
        checkpoint=state,
        teacher=load_teachers(config.loss, run.recipe),
        on_epoch=lambda epoch, size, network, loss, minutes: losses.append(loss),
    )
    for parameter in run.network.parameters():
        parameter.requires_grad_(True)
    state.unlink(missing_ok=True)
    return losses[-1], minutes


def prune(run: Run) -> nn.Module:
    """Makes the network smaller by the recipe's method, then recovers it.

    A killed run goes on at the step it was in.

    Returns:
        The pruned, recovered network; ``run.folder`` holds one line per step and the network.

    Raises:
        RecipeError: a baseline cannot meet the budget.
    """
    log = Log(run)
    if not log.done:
        log.add(-1, "start", 0, None, run.accuracy(run.network, run.config.size_px), 0.0)
    if not log.any("recovery"):
        (gated if run.config.method == "gated" else baseline)(run, log)
    for number, cycle in enumerate(run.recipe.train):
        if not log.any("recovery", number):
            loss, minutes = fit(run, run.data(cycle), cycle, f"recovery-{number}")
            log.add(log.round, "recovery", number, loss, run.accuracy(run.network, run.recipe.size_px), minutes)
    return run.network.eval()


def gated(run: Run, log: Log) -> None:
    """Punish and Reward, round by round, until the budget is met or the Judge says that too much was lost."""
    config, data = run.config, run.data(run.config.reward)
    subset = balanced_subset(data, config.per_class, config.seed)
    reward(run, log, data, -1)
    log.keep_round(-1)
    limit = log.accuracy(-1, "reward") - config.judge_drop
    round_ = max(0, log.round)  # the network of a run that goes on is that of its last round
    while True:
        ended = False
        for step in range(config.punish_steps):
            if log.has(round_, "punish", step):
                continue
            ended = within(run.cost(), run.start_cost, config.budget) or not punish(run, subset)
            if ended:
                break
            passes = punish_config(config, round_ * config.punish_steps + step)
            loss, minutes = fit(run, subset, passes, "punish", only_norms=True)
            log.add(round_, "punish", step, loss, None, minutes)
        last = ended or within(run.cost(), run.start_cost, config.budget)
        if last and config.round_to > 1 and not log.has(round_, "round", 0):
            round_widths(run, subset)
            log.add(round_, "round", 0, None, None, 0.0)
        reward(run, log, data, round_)
        if log.accuracy(round_, "reward") < limit:
            log.back_to_round(round_ - 1)
            return
        log.keep_round(round_)
        if last:
            return
        round_ += 1


def reward(run: Run, log: Log, data: TrainSet, round_: int) -> None:
    """Trains everything on all data, unless this round's Reward was done."""
    if not log.has(round_, "reward", 0):
        loss, minutes = fit(run, data, drawn_anew(run.config.reward, round_ + 1), "reward")
        log.add(round_, "reward", 0, loss, run.accuracy(run.network, run.config.size_px), minutes)


def punish(run: Run, subset: TrainSet) -> bool:
    """Slices the least important groups off, the last time only as many as the budget asks; False at the floors."""
    channels, config = run.follow(), run.config
    scores = gate_scores(run, subset)
    ranked = group_scores(channels, scores)
    if config.rank == "importance_per_cost":
        savings = group_savings(run.network, channels, run.recipe.input.channels, run.recipe.size_px)
        if run.ms is not None:
            times = group_ms(run.network, channels, ranked, run.ms)
            savings = {root: replace(saving, ms=times.get(root, 0.0)) for root, saving in savings.items()}
        ranked = per_cost(ranked, savings, run.cost(), run.start_cost, config.budget)
    n_filters = max(1, round(config.filters * run.start_filters))
    gone = choose(channels, ranked, scores.keys(), n_filters, run.start_widths, config.floor)
    fits = partial(meets_budget, run, channels)
    if gone and fits(gone):
        in_order = gone
        gone = smallest_that_fits(lambda share: in_order[: round(share * len(in_order))], fits)
    if gone:
        run.network = slice_network(run.network, channels, gone)
    return bool(gone)


def round_widths(run: Run, subset: TrainSet) -> None:
    """Slices the least important groups off that keep layers from a multiple of ``round_to`` channels."""
    channels, config = run.follow(), run.config
    ranked = group_scores(channels, gate_scores(run, subset))
    gone = round_off(channels, ranked, [], config.round_to, run.start_widths, config.floor)
    if gone:
        run.network = slice_network(run.network, channels, gone)


def gate_scores(run: Run, subset: TrainSet) -> Scores:
    """Of every batch-norm channel, on the Punish subset."""
    inputs = batches(subset, run.recipe, run.config.size_px)

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        each = [functional.cross_entropy(logits[:, own], targets[:, own]) for own in subset.parts]
        return torch.stack(each).sum()

    return measure_gates(run.network, inputs, loss, run.config.form)


def baseline(run: Run, log: Log) -> None:
    """One cut, as slimming, GReg or a uniform width choose it, before or after as many epochs as Reward takes."""
    config, channels = run.config, run.follow()
    if log.any("cut"):
        return
    data = run.data(config.reward)
    plain = replace(
        config.reward,
        phases=(Phase(config.baseline_epochs, config.size_px),),
        loss=replace(config.reward.loss, gamma_l1=0.0),
    )
    # a penalty's gradient is no sign of a step too far
    penalized = replace(plain, clip_norm=math.inf)
    scores = norm_scores(channels, run.network)
    if config.method == "slimming":
        cut(run, channels, gamma_scores(channels, run.network))  # what the floors forbid is known before training
        sparse = replace(penalized, loss=replace(plain.loss, gamma_l1=config.slimming_l1))
        loss, minutes = fit(run, data, sparse, "sparsity")
        gone = cut(run, channels, gamma_scores(channels, run.network))
    elif config.method == "greg":
        gone = cut(run, channels, scores)
        n_updates = config.baseline_epochs * (len(data.images) // plain.batch)
        growth = Growth(config.greg_ceiling, n_updates, steps_done(run.folder / "growing.pt"))
        with growing_penalty(run.network, channels, gone, growth):
            loss, minutes = fit(run, data, penalized, "growing")
    else:
        run.network = slice_network(run.network, channels, cut(run, channels, scores))
        loss, minutes = fit(run, data, plain, "uniform")
        gone = []
    if gone:
        run.network = slice_network(run.network, channels, gone)
    log.add(0, "cut", 0, loss, run.accuracy(run.network, run.config.size_px), minutes)


def cut(run: Run, channels: Channels, scores: dict[int, float]) -> list[int]:
    """The groups whose removal just meets the budget: slimming by one global threshold, the others by equal shares."""
    norms = [n for n, m in run.network.named_modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]

    def order(share: float) -> list[int]:
        if run.config.method == "slimming":
            n_filters = int(share * run.start_filters)
            gone = choose(channels, scores, norms, n_filters, run.start_widths, run.config.floor)
        else:
            gone = lowest_share(channels, scores, share, run.start_widths, run.config.floor)
        return gone + round_off(channels, scores, gone, run.config.round_to, run.start_widths, run.config.floor)

    return smallest_that_fits(order, partial(meets_budget, run, channels))


def meets_budget(run: Run, channels: Channels, gone: list[int]) -> bool:
    """Whether the network without these groups costs no more than the budget."""
    smaller = slice_network(run.network, channels, gone) if gone else run.network
    cost = cost_of(smaller, run.recipe.input.channels, run.recipe.size_px, run.ms)
    return within(cost, run.start_cost, run.config.budget)
