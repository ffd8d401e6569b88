"""``fer-host train RECIPE``: data → network → loop → weights, model card and confusion matrix."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from fer_host.data.faces import FaceData
from fer_host.data.labels import same_labels
from fer_host.data.load import load_data
from fer_host.detector.cut import cut_of, cutter
from fer_host.device_pipeline import RgbImage
from fer_host.errors import DataError, WeightsError
from fer_host.files.artifacts import remove_unfinished, write_bytes
from fer_host.files.paths import TRAIN_CACHE
from fer_host.models.shapes import fit_shapes
from fer_host.models.starts import start_from, start_from_body, start_from_imagenet, with_outputs
from fer_host.models.weights import (
    build_network,
    load_network,
    read_state,
    save_weights,
    weights_sha256,
    zoo_path,
)
from fer_host.recipe.places import WEIGHTS
from fer_host.recipe.recipe import Recipe, load_recipe
from fer_host.recipe.train import TrainConfig
from fer_host.train.batches import TrainSet
from fer_host.train.checks import check_recipe
from fer_host.train.curve import CURVE, Epoch, figures, read_curve
from fer_host.train.digest import train_digest
from fer_host.train.loop import train, way_path
from fer_host.train.parallel import Team, join_team, leave_team, losing_nobody
from fer_host.train.protocols import with_held_out, with_validation
from fer_host.train.report import write_card_for
from fer_host.train.rows import train_split, validation_split
from fer_host.train.scoring import all_scores
from fer_host.train.teacher import load_teachers
from fer_host.train.way import kept_way

BEST = "best.safetensors"
DIFFERENT = "team: recipe, data or start differ from machine to machine; expected the same: copy them again"


def training_data(recipe: Recipe, path: Path, quiet: bool = False) -> FaceData:
    """``gray_crops`` with a validation split (the set's own, or out of Training by seed), less what is held out."""
    data = with_validation(gray_crops(recipe, path, quiet), recipe.labels, recipe.seed)
    return with_held_out(data, recipe.labels, recipe.seed, recipe.held_out)


def gray_crops(recipe: Recipe, path: Path, quiet: bool = False) -> FaceData:
    """A data set as crops, as the loop takes them: gray, or RGB for a recipe that sees color.

    Photos go through the recipe's detector and crop; picture files come out at the recipe's ``source_px``.

    Args:
        recipe: names input, detector and crop.
        path: see ``open_data``.
        quiet: does not say what the path was taken for.
    """
    cutters: list[Callable[[RgbImage], RgbImage | None]] = []

    def crop(photo: RgbImage) -> RgbImage | None:
        if not cutters:  # only sets of photos need the detector
            cutters.append(cutter(recipe))
        return cutters[0](photo)

    color: Literal["gray", "rgb"] = "rgb" if recipe.input.color == "rgb" else "gray"
    return load_data(
        path,
        crop=crop,
        size_px=recipe.input.source_px,
        color=color,
        labels=recipe.labels,
        own=recipe.own_labels,
        person=recipe.person,
        cut=cut_of(recipe.detector, recipe.align),
        quiet=quiet,
    )


def run_training(
    recipe: Recipe,
    data_path: Path,
    out: Path | None = None,
    cache: Path | None = None,
    weights: Path | None = None,
) -> Path:
    """Trains a recipe, resuming where a killed run of the same recipe stopped.

    Args:
        recipe: what to train.
        data_path: FER2013's npz or CSV, or the folder of any set that ``open_data`` recognizes.
        out: the .safetensors file to write; None writes the zoo's.
        cache: folder of the resumable state; None takes ``~/.cache/fer-edge/train/<recipe>-<digest>``.
        weights: where the first cycle starts, in the place of the recipe's own start.

    Returns:
        The weights file; its model card and confusion matrix stand beside it.

    Raises:
        RecipeError: see ``check_recipe``.
        WeightsError: ``out`` cannot be written, or ``weights`` do not fit.
        TeamError: another process of a team is gone; the state stays.
    """
    with losing_nobody():
        return _run_training(recipe, data_path, out, cache, weights)


def _run_training(recipe: Recipe, data_path: Path, out: Path | None, cache: Path | None, weights: Path | None) -> Path:
    target = out or zoo_path(recipe).with_suffix(".safetensors")
    if target.suffix != ".safetensors" or not target.parent.is_dir():
        raise WeightsError(f"--out {target}: expected a .safetensors file in a folder that is there")
    team = join_team()
    check_recipe(recipe, team, weights)
    data = training_data(recipe, data_path, quiet=not team.leads)
    own = "" if weights is None else f"-{weights_sha256(load_network(recipe, weights))[:8]}"
    digest = train_digest(recipe, data_path)
    team.check_same(DIFFERENT, f"{digest}{own}")
    state = cache or TRAIN_CACHE / f"{recipe.id}-{digest}{own}"
    minutes = fit(recipe, data, state, team, weights)
    leave_team()
    if not team.leads:
        return target
    remove_unfinished(state, rf"cycle-\d+\.(pt|way\.json)|{re.escape(CURVE)}|{re.escape(BEST)}")
    made = r"safetensors|card\.json|card\.md|confusion\.png|sureness\.png"
    remove_unfinished(target.parent, rf"{re.escape(target.stem)}\.({made})")
    source = recipe.prune.source if recipe.prune else None
    save_weights(load_network(recipe, state / BEST), target, source)
    way = kept_way(way_path(state / f"cycle-{len(recipe.train)}.pt"))
    write_card_for(recipe, target, data, read_curve(state / CURVE), minutes, weights, way)
    return target


def fit(recipe: Recipe, data: FaceData, state: Path, team: Team, weights: Path | None = None) -> float:
    """Trains on the Training rows, and leaves the epoch that is best on the validation rows as ``best.safetensors``.

    Args:
        recipe: what to train.
        data: with a validation split; other rows are not looked at.
        state: folder of the resumable state, learning curve and best weights.
        team: the processes that train together.
        weights: see ``run_training``.

    Returns:
        Minutes of training, earlier sessions included.

    Raises:
        DataError: no validation rows, or less than a batch to train on.
    """
    held_out = validation_split(data)
    if not len(held_out.select(held_out.labels(recipe.labels) >= 0)):
        raise DataError(f"data {data.source}: no validation rows with a {recipe.labels} label; expected some to choose")
    split = str(held_out.usage[0])
    state.mkdir(parents=True, exist_ok=True)
    curve_path, best_path = state / CURVE, state / BEST

    last_cycle = sum(phase.epochs for cycle in recipe.train[:-1] for phase in cycle.phases)

    def on_epoch(epoch: int, size_px: int, average: nn.Module, loss: float, minutes: float) -> None:
        scored = all_scores(average, recipe, held_out, size_px, recipe.train[-1].precision)
        found = {name: round(each.accuracy, 5) for name, each in scored.items()}
        accuracy = found.pop(recipe.labels)
        others = found.get("ferplus8_majority"), found.get("fer7")
        line = Epoch(epoch, size_px, round(loss, 4), accuracy, round(minutes, 2), *others)
        curve = [old for old in read_curve(curve_path) if old.epoch < epoch] + [line]
        # the last cycle ships, its best epoch at the size that ships
        rivals = [old.accuracy for old in curve if old.epoch >= last_cycle and old.size_px == recipe.size_px]
        if rivals and size_px == recipe.size_px and line.accuracy >= max(rivals):
            save_weights(average, best_path)
        text = "".join(json.dumps(figures(entry)) + "\n" for entry in curve)
        write_bytes(curve_path, text.encode())
        shown = "".join(f", {name} {value:.4f}" for name, value in found.items())
        print(
            f"epoch {epoch}: {size_px} px, loss {loss:.4f}, {split} {accuracy:.4f}{shown}, {minutes:.1f} min",
            flush=True,
        )

    return train_cycles(recipe, lambda cycle: train_split(data, recipe, cycle), state, team, on_epoch, weights)


def train_cycles(
    recipe: Recipe,
    rows_of: Callable[[TrainConfig], TrainSet],
    state: Path,
    team: Team,
    on_epoch: Callable[[int, int, nn.Module, float, float], bool | None],
    weights: Path | None = None,
) -> float:
    """Runs a recipe's cycles one after the other, each from the averaged weights of the one before.

    Args:
        recipe: what to train.
        rows_of: the training rows of a cycle.
        state: folder of the resumable state.
        team: the processes that train together.
        on_epoch: as ``loop.train`` calls it; epochs and minutes count from the first cycle's start.
        weights: see ``run_training``.

    Returns:
        Minutes of training, earlier sessions included.

    Raises:
        DataError: less than a batch to train on.
    """
    network = _started(recipe) if weights is None else load_network(recipe, weights)
    epochs, minutes = 0, 0.0
    for number, cycle in enumerate(recipe.train, 1):
        rows = rows_of(cycle)
        if len(rows.images) < cycle.batch:
            raise DataError(
                f"data: {len(rows.images)} training rows, expected at least one batch of {cycle.batch}: "
                "use a larger set, or a recipe with a smaller batch"
            )
        network, spent = train(
            network,
            rows,
            cycle,
            normalize=recipe.input,
            checkpoint=state / f"cycle-{number}.pt",
            team=team,
            teacher=load_teachers(cycle.loss, recipe),
            on_epoch=partial(_shifted, on_epoch, epochs, minutes),
        )
        epochs, minutes = epochs + sum(phase.epochs for phase in cycle.phases), minutes + spent
    return minutes


def _started(recipe: Recipe) -> nn.Module:
    """The network where the recipe's first cycle starts."""
    first = recipe.train[0]
    torch.manual_seed(first.seed)
    network = build_network(recipe)
    if first.start == "imagenet":
        start_from_imagenet(network, first.seed)
    elif first.faces is not None:
        start_from_body(network, load_network(load_recipe(first.faces)), recipe.id)
    elif first.start != "random":
        other = None if Path(first.start).suffix in WEIGHTS else load_recipe(first.start)
        state = read_state(Path(first.start)) if other is None else load_network(other).state_dict()
        same: dict[int, int] = {}
        if other is not None:
            same = same_labels(recipe.label_names, other.label_names)
            if other.prune is not None:  # its network has fewer channels
                fit_shapes(network, with_outputs(state, other.n_outputs, recipe.n_outputs))
        start_from(network, state, first.start, same)
    return network


def _shifted(
    on_epoch: Callable[[int, int, nn.Module, float, float], bool | None],
    epochs: int,
    minutes: float,
    epoch: int,
    size_px: int,
    average: nn.Module,
    loss: float,
    spent: float,
) -> bool | None:
    """Counts epochs and minutes from the first cycle's start."""
    return on_epoch(epochs + epoch, size_px, average, loss, minutes + spent)
