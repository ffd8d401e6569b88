"""The rows that a cycle trains on, and what each of a network's label sets should answer to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_host.data import fer2013
from fer_host.data.faces import TRAINING, FaceData
from fer_host.recipe.recipe import Recipe
from fer_host.recipe.train import TrainConfig
from fer_host.train.batches import TrainSet
from fer_host.train.protocols import validation_rows


def train_split(data: FaceData, recipe: Recipe, cycle: TrainConfig) -> TrainSet:
    """Training rows with a label that enough of the crowd could read, and their target distributions.

    With several label sets a row serves those that it has a label in, and the others learn nothing from it.
    """
    rows = data.select(data.usage == TRAINING)
    loss = cycle.loss
    if recipe.heads:
        rows = rows.select(_any_label(rows, recipe, cycle))
        return TrainSet(rows.images, _targets(rows, recipe, cycle), tuple(each.slice for each in recipe.label_sets))
    rows = rows.select(_readable(rows, recipe.labels, cycle.min_votes))
    targets = fer2013.target_distribution(rows, recipe.labels, loss.vote_share, loss.label_share, loss.fer7_share)
    return TrainSet(rows.images, targets)


def validation_split(data: FaceData) -> FaceData:
    """PublicTest or Validation: the rows on which epochs and settings are chosen."""
    return validation_rows(data)


def _readable(rows: FaceData, labels: str, min_votes: int) -> NDArray[np.bool_]:
    """Whether a row has a label of this set, and enough votes where the set has votes at all (most have none)."""
    labelled = rows.labels(labels) >= 0
    if not rows.votes8[labelled].any():
        return labelled
    return np.asarray(labelled & (rows.votes8.sum(axis=1) >= min_votes))


def _learned(rows: FaceData, recipe: Recipe, cycle: TrainConfig) -> list[NDArray[np.bool_]]:
    """For each label set, the rows that it learns from: votes decide for the first, any label for the others."""
    first, *others = recipe.heads
    return [_readable(rows, first, cycle.min_votes), *(rows.labels(name) >= 0 for name in others)]


def _any_label(rows: FaceData, recipe: Recipe, cycle: TrainConfig) -> NDArray[np.bool_]:
    return np.asarray(np.any(_learned(rows, recipe, cycle), axis=0))


def _targets(rows: FaceData, recipe: Recipe, cycle: TrainConfig) -> NDArray[np.float32]:
    """(N, outputs): each set's distribution by its share of the loss, zeros where the row has no label in it."""
    loss, targets = cycle.loss, np.zeros((len(rows), recipe.n_outputs), dtype=np.float32)
    learned = _learned(rows, recipe, cycle)
    for number, (own, share, mask) in enumerate(zip(recipe.label_sets, loss.head_shares, learned, strict=True)):
        shares = (0.0, 1 - loss.teacher_share, 0.0)
        if number == 0:
            shares = (loss.vote_share, loss.label_share, loss.fer7_share)
        found = fer2013.target_distribution(rows.select(mask), own.id, *shares)
        targets[mask, own.slice[0] : own.slice[1]] = share * found
    return targets
