"""What a run would otherwise stumble over, some of it hours later: looked at before the first step."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from fer_host.errors import RecipeError
from fer_host.models.weights import build_network
from fer_host.recipe.recipe import Recipe
from fer_host.train.parallel import ALONE, Team
from fer_host.train.teacher import load_teachers


def check_recipe(recipe: Recipe, team: Team = ALONE, pruned: Path | None = None) -> None:
    """Refuses a recipe that decodes but cannot be trained.

    Args:
        recipe: what is to be trained.
        team: who trains it.
        pruned: weights to start from, in the place of the recipe's own start.

    Raises:
        RecipeError: it is made by pruning, and no pruned weights are given to train on from; an input size that its
            network cannot take; no epoch at the size that ships; an attention loss without heads to keep apart; a
            teacher with other labels; a batch that the team cannot share equally.
        WeightsError: a teacher without weights.
    """
    what = f"recipe {recipe.id}"
    if recipe.prune is not None and pruned is None:
        raise RecipeError(
            f"{what}: its first cycle goes on from a pruned network, so it is made by `fer-host prune {recipe.id} "
            "--data …`; expected a recipe without a [prune] table, or --weights of a pruned network to train on from"
        )
    if not recipe.train:
        raise RecipeError(f"{what}: has no [[train]] table; expected one or more to train by")
    for cycle in recipe.train:
        if cycle.batch % team.size:
            raise RecipeError(
                f"{what}: {team.size} processes cannot share a batch of {cycle.batch} equally; expected a multiple of "
                f"{team.size}: change `batch`, or start another number of processes"
            )
        load_teachers(cycle.loss, recipe)
    last = {phase.size_px for phase in recipe.train[-1].phases}
    if recipe.labels != "identities" and recipe.size_px not in last:  # an epoch that tells people apart ships as it is
        raise RecipeError(
            f"{what}: its last cycle trains at {_px(last)}, so that no epoch could be kept for size_px = "
            f"{recipe.size_px}; expected a phase of {recipe.size_px} px in it"
        )
    network = build_network(recipe)
    sizes = {recipe.size_px} | {phase.size_px for cycle in recipe.train for phase in cycle.phases}
    refused = {size_px for size_px in sizes if not _takes(network, recipe, size_px)}
    if refused:
        raise RecipeError(
            f"{what}: network {recipe.network}, built for {recipe.size_px} px, cannot take {_px(refused)}; expected "
            f"phases of {recipe.size_px} px, or another size_px"
        )
    if any(cycle.loss.attention for cycle in recipe.train):
        heads = len(getattr(network, "heads", ())) if hasattr(network, "attend") else 0
        if heads < 2:
            raise RecipeError(
                f"{what}: network {recipe.network} has {heads} attention heads, expected 2 or more for the attention "
                "loss to drive apart: leave `attention` out of `loss`"
            )


def _px(sizes: set[int]) -> str:
    return " and ".join(str(size) for size in sorted(sizes)) + " px"


def _takes(network: nn.Module, recipe: Recipe, size_px: int) -> bool:
    """Whether one picture of this size gives one row of logits."""
    x = torch.zeros(1, recipe.input.channels, size_px, size_px)
    try:
        with torch.no_grad():
            return tuple(network(x).shape) == (1, recipe.n_outputs)
    except RuntimeError:  # torch's for shapes that do not fit
        return False
