"""The thesis' face-recognition stage: a network learns to tell people apart before it learns expressions.

Written for VGGFace2 (9,131 people, 3.3 million faces), which is not on the machines of this project: run here on
generated trees only. Faces are read from their files a batch at a time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fer_edge.contract.preprocess import preprocess
from fer_host.data.identities import Identities, load_identities
from fer_host.data.pieces import pieces
from fer_host.data.streamed import Streamed
from fer_host.errors import DataError, WeightsError
from fer_host.files.artifacts import write_bytes
from fer_host.files.paths import TRAIN_CACHE
from fer_host.models.weights import load_network, save_weights, zoo_path
from fer_host.recipe.recipe import Recipe
from fer_host.train.batches import TrainSet
from fer_host.train.checks import check_recipe
from fer_host.train.curve import CURVE, Epoch, figures, read_curve
from fer_host.train.digest import train_digest
from fer_host.train.parallel import device_of, join_team, leave_team, losing_nobody
from fer_host.train.run import BEST, DIFFERENT, train_cycles

N_SCORED = 20_000  # validation faces looked at after an epoch, drawn once


@dataclass(frozen=True)
class OneHotRows:
    """Labels, asked for like an array of distributions: 3 million rows of 9,131 numbers would not fit in memory."""

    labels: NDArray[np.int64]
    n_classes: int

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        result = np.zeros((len(rows), self.n_classes), dtype=np.float32)
        result[np.arange(len(rows)), self.labels[rows]] = 1
        return result


def run_identities(recipe: Recipe, folder: Path, out: Path | None = None, cache: Path | None = None) -> Path:
    """Trains a recipe with ``labels = "identities"``; the epoch that knows most held-out faces is kept.

    Args:
        recipe: its ``identities`` is the number of people.
        folder: VGGFace2's top folder.
        out: the .safetensors file to write; None writes the zoo's.
        cache: folder of the resumable state; None takes ``~/.cache/fer-edge/train/<recipe>-<digest>``.

    Returns:
        The weights file, with its learning curve (``.curve.jsonl``) beside it.

    Raises:
        DataError: not such a tree, or another number of people.
        RecipeError: see ``check_recipe``.
    """
    with losing_nobody():
        return _run_identities(recipe, folder, out, cache)


def _run_identities(recipe: Recipe, folder: Path, out: Path | None, cache: Path | None) -> Path:
    target = out or zoo_path(recipe)
    if target.suffix != ".safetensors" or not target.parent.is_dir():
        raise WeightsError(f"--out {target}: expected a .safetensors file in a folder that is there")
    team = join_team()
    check_recipe(recipe, team)
    tree = load_identities(folder, recipe.train[0].seed)
    if len(tree.names) != recipe.identities:
        raise DataError(
            f"data {folder}: found {len(tree.names)} identities, expected {recipe.identities}: unpack train and test "
            "of VGGFace2, or give the recipe's `identities` the number of yours"
        )
    digest = train_digest(recipe, folder)
    team.check_same(DIFFERENT, digest)
    state = cache or TRAIN_CACHE / f"{recipe.id}-{digest}"
    state.mkdir(parents=True, exist_ok=True)
    rows, held_out = _parted(tree, recipe)

    def on_epoch(epoch: int, size_px: int, average: nn.Module, loss: float, minutes: float) -> None:
        accuracy = _share_known(average, recipe, *held_out)
        line = Epoch(epoch, size_px, round(loss, 4), round(accuracy, 5), round(minutes, 2))
        curve = [old for old in read_curve(state / CURVE) if old.epoch < epoch] + [line]
        if accuracy >= max(old.accuracy for old in curve):
            save_weights(average, state / BEST)
        write_bytes(state / CURVE, "".join(json.dumps(figures(entry)) + "\n" for entry in curve).encode())
        print(f"epoch {epoch}: loss {loss:.4f}, held-out faces known {accuracy:.4f}, {minutes:.1f} min", flush=True)

    train_cycles(recipe, lambda _: rows, state, team, on_epoch)
    leave_team()
    if team.leads:
        save_weights(load_network(recipe, state / BEST), target)
        write_bytes(target.with_suffix(".curve.jsonl"), (state / CURVE).read_bytes())
    return target


def _parted(tree: Identities, recipe: Recipe) -> tuple[TrainSet, tuple[Streamed, NDArray[np.int64]]]:
    """Training rows, and held-out faces with their labels."""
    pictures = Streamed.all_of(tree.source, recipe.input.source_px, recipe.input.color)
    kept = ~tree.validation
    rows: Any = (pictures.select(kept), OneHotRows(tree.label[kept], len(tree.names)))
    held_out = np.flatnonzero(tree.validation)
    if not len(held_out):
        raise DataError("data: no identity has photos enough to hold one out; expected about 14 or more of each")
    drawn = np.sort(np.random.default_rng(recipe.train[0].seed).permutation(held_out)[:N_SCORED])
    return TrainSet(*rows), (pictures.select(drawn), tree.label[drawn])


def _share_known(network: nn.Module, recipe: Recipe, faces: Streamed, labels: NDArray[np.int64]) -> float:
    right, start = 0, 0
    for part, readable in pieces(faces, 64):
        rows = np.arange(start, start + len(part))
        start += len(part)
        batch = np.stack([preprocess(face, recipe.input, recipe.input_hw) for face in part])
        with torch.no_grad():
            x = torch.from_numpy(batch).permute(0, 3, 1, 2).to(device_of(network))
            found = network(x).argmax(1).cpu().numpy()
        right += int(((found == labels[rows]) & readable).sum())
    return right / len(faces)
