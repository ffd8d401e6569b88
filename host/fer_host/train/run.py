"""``fer-host train RECIPE``: data → network → loop → weights, model card and confusion matrix."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fer_edge.contract.preprocess import preprocess, softmax
from fer_host.artifacts import digest_json, sha256_file, write_bytes
from fer_host.data import fer2013
from fer_host.errors import WeightsError
from fer_host.paths import TRAIN_CACHE
from fer_host.recipe import Recipe
from fer_host.train.card import write_card
from fer_host.train.config import TrainConfig
from fer_host.train.loop import TrainSet, train
from fer_host.train.metrics import Scores, drop_label, score
from fer_host.weights import build_network, load_network, save_weights, start_from_imagenet, zoo_path


@dataclass(frozen=True)
class Epoch:
    """One line of the learning curve."""

    epoch: int
    size_px: int
    loss: float
    accuracy: float
    minutes: float


def train_split(data: fer2013.FerData, cycle: TrainConfig) -> TrainSet:
    """Training rows that the crowd could read, with the votes as target distributions."""
    rows = data.select((data.usage == "Training") & (data.label8 >= 0) & (data.votes8.sum(axis=1) >= cycle.min_votes))
    return TrainSet(rows.images, fer2013.vote_distribution(rows.votes8))


def validation_split(data: fer2013.FerData) -> fer2013.FerData:
    """PublicTest: the rows on which epochs and settings are chosen."""
    return data.select(data.usage == "PublicTest")


def predict(network: nn.Module, recipe: Recipe, images: NDArray[np.uint8], size_px: int) -> NDArray[np.float32]:
    """Probabilities (n, classes) of gray crops (n, h, w) through the device's preprocess, single view, float."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(images), 128):
            crops = images[start : start + 128]
            batch = np.stack([preprocess(crop, recipe.input, (size_px, size_px)) for crop in crops])
            logits = network(torch.from_numpy(batch).permute(0, 3, 1, 2))
            parts.append(softmax(logits.numpy()))
    return np.concatenate(parts)


def scores8(network: nn.Module, recipe: Recipe, rows: fer2013.FerData, size_px: int | None = None) -> Scores:
    """``ferplus8`` scores: rows whose crowd winner is unknown or not a face are dropped."""
    kept = rows.select(rows.label8 >= 0)
    return score(predict(network, recipe, kept.images, size_px or recipe.size_px), kept.label8)


def scores7(network: nn.Module, recipe: Recipe, rows: fer2013.FerData) -> Scores:
    """``fer7`` scores against FER2013's original labels; the contempt output is dropped before argmax."""
    kept = rows.select(rows.label7 >= 0)
    probabilities = predict(network, recipe, kept.images, recipe.size_px)
    return score(drop_label(probabilities, recipe.label_names.index("contempt")), kept.label7)


def run_training(
    recipe: Recipe,
    data_path: Path,
    out: Path | None = None,
    cache: Path | None = None,
) -> Path:
    """Trains a recipe, resuming where a killed run of the same recipe stopped.

    Args:
        recipe: what to train.
        data_path: FER2013's npz, see ``fer2013.load``.
        out: the .safetensors file to write; None writes the zoo's.
        cache: folder of the resumable state; None takes ``~/.cache/fer-edge/train/<recipe>-<digest>``.

    Returns:
        The weights file; its model card and confusion matrix stand beside it.
    """
    target = out or zoo_path(recipe)
    if target.suffix != ".safetensors" or not target.parent.is_dir():
        raise WeightsError(f"--out {target}: expected a .safetensors file in a folder that is there")
    data = fer2013.load(data_path)
    held_out = validation_split(data)
    state = cache or TRAIN_CACHE / f"{recipe.id}-{train_digest(recipe, data_path)}"
    state.mkdir(parents=True, exist_ok=True)
    curve_path, best_path = state / "curve.jsonl", state / "best.safetensors"

    last_cycle = sum(phase.epochs for cycle in recipe.train[:-1] for phase in cycle.phases)

    def on_epoch(epoch: int, size_px: int, average: nn.Module, loss: float, minutes: float) -> None:
        accuracy = scores8(average, recipe, held_out, size_px).accuracy
        line = Epoch(epoch, size_px, round(loss, 4), round(accuracy, 5), round(minutes, 2))
        curve = [old for old in read_curve(curve_path) if old.epoch < epoch] + [line]
        # the last cycle ships, its best epoch at the size that ships
        rivals = [old.accuracy for old in curve if old.epoch >= last_cycle and old.size_px == recipe.size_px]
        if rivals and size_px == recipe.size_px and accuracy >= max(rivals):
            save_weights(average, best_path)
        text = "".join(json.dumps(dataclasses.asdict(entry)) + "\n" for entry in curve)
        write_bytes(curve_path, text.encode())
        print(f"epoch {epoch}: {size_px} px, loss {loss:.4f}, PublicTest {accuracy:.4f}, {minutes:.1f} min", flush=True)

    torch.manual_seed(recipe.train[0].seed)
    network = build_network(recipe)
    if recipe.train[0].start == "imagenet":
        start_from_imagenet(network, recipe.train[0].seed)
    mean, std = torch.tensor(recipe.input.mean), torch.tensor(recipe.input.std)
    epochs, minutes = 0, 0.0
    for number, cycle in enumerate(recipe.train, 1):
        # the averaged weights of a cycle are where the next one starts
        network, spent = train(
            network,
            train_split(data, cycle),
            cycle,
            normalize=(mean, std),
            checkpoint=state / f"cycle-{number}.pt",
            on_epoch=partial(_shifted, on_epoch, epochs, minutes),
        )
        epochs, minutes = epochs + sum(phase.epochs for phase in cycle.phases), minutes + spent
    save_weights(load_network(recipe, best_path), target)
    write_card_for(recipe, target, data_path, read_curve(curve_path), minutes)
    return target


def _shifted(
    on_epoch: Callable[[int, int, nn.Module, float, float], None],
    epochs: int,
    minutes: float,
    epoch: int,
    size_px: int,
    average: nn.Module,
    loss: float,
    spent: float,
) -> None:
    """Counts epochs and minutes from the first cycle's start."""
    on_epoch(epochs + epoch, size_px, average, loss, minutes + spent)


def write_card_for(recipe: Recipe, weights: Path, data_path: Path, curve: list[Epoch], minutes: float) -> None:
    """Measures shipped weights in float and writes their model card."""
    data = fer2013.load(data_path)
    held_out = validation_split(data)
    fresh = held_out.select(~held_out.duplicate)
    network = load_network(recipe, weights)
    rows = {
        "ferplus8": scores8(network, recipe, held_out),
        "fer7": scores7(network, recipe, held_out),
        "ferplus8 without training duplicates": scores8(network, recipe, fresh),
        "fer7 without training duplicates": scores7(network, recipe, fresh),
    }
    n_train = len(train_split(data, recipe.train[-1]).images)
    write_card(recipe, weights, rows, [dataclasses.asdict(entry) for entry in curve], minutes, n_train)


def train_digest(recipe: Recipe, data_path: Path) -> str:
    """Short digest of all that training depends on, so that a changed recipe starts afresh."""
    return digest_json([dataclasses.asdict(recipe) | {"convert": None, "sha256": None}, sha256_file(data_path)])[:12]


def read_curve(path: Path) -> list[Epoch]:
    """The learning curve written so far."""
    if not path.is_file():
        return []
    return [Epoch(**json.loads(line)) for line in path.read_text().splitlines()]
