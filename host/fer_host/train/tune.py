"""Fine-tuning on a user's photos: the head first, then all, until the held-out rows stop getting better."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fer_host.data.faces import TEST, TRAINING, FaceData, duplicates, identical_groups
from fer_host.data.labels import same_labels
from fer_host.evaluate.metrics import Scores, score
from fer_host.files.artifacts import write_bytes
from fer_host.models.weights import load_network, save_weights
from fer_host.recipe.recipe import Recipe, load_recipe
from fer_host.recipe.train import Augment, LossConfig, OptimizerConfig, Phase, ScheduleConfig, TrainConfig
from fer_host.train.checks import check_recipe
from fer_host.train.curve import CURVE, Epoch, figures
from fer_host.train.parallel import ALONE
from fer_host.train.protocols import VALIDATION, VALIDATION_SPLITS, grouped_folds, hold_out
from fer_host.train.rows import train_split, validation_split
from fer_host.train.run import BEST, train_cycles
from fer_host.train.scoring import predict

FOLDS = 5  # one is held out: it is looked at once, at the end
_VALIDATION_SHARE = 0.2  # of the rest, on which the epoch is chosen
_HEAD_EPOCHS, _ALL_EPOCHS = 10, 30  # at most
_PATIENCE = 5  # epochs without a better validation loss
_AUGMENT = Augment(
    flip_p=0.5,
    rotate_deg=10.0,
    scale=0.1,
    aspect=0.05,
    shift=0.05,
    brightness=0.1,
    contrast=0.25,
    erase_p=0.2,
    erase_area=(0.02, 0.12),
)


def tuned_recipe(source: Recipe, name: str, labels: tuple[str, ...], n: int, seed: int, person: str) -> Recipe:
    """A recipe for fine-tuning a source's network on ``n`` photos with these labels.

    Args:
        source: whose network, input, crop and detector it takes.
        name: of the new recipe.
        labels: in output order.
        n: photos to train on; small sets take small batches.
        seed: of every draw.
        person: pattern of a file's name for the person; empty guesses.
    """
    head = TrainConfig(
        start=source.origin,
        min_votes=0,
        phases=(Phase(_HEAD_EPOCHS, source.size_px),),
        seed=seed,
        batch=max(4, min(32, n // 4)),
        ema_decay=0.9,
        clip_norm=2.0,
        optimizer=OptimizerConfig("adam", 1e-3, 0.9, 0.0, 0.0),
        schedule=ScheduleConfig("constant"),
        loss=LossConfig(vote_share=0.0, class_weights=True),
        augment=_AUGMENT,
        trainable="head",
    )
    whole = dataclasses.replace(
        head,
        start="previous",
        phases=(Phase(_ALL_EPOCHS, source.size_px),),
        seed=seed + 1,
        optimizer=OptimizerConfig("adam", 2e-4, 0.9, 1e-4, 0.0),
        trainable="all",
    )
    made = [each for each in source.convert.variants if each != "mixed"]
    convert = dataclasses.replace(
        source.convert,
        variants=tuple(made),
        default_variant="int8" if "int8" in made else "float32",
        accuracy_drop=0.02,
        calibration_set="",
    )
    return dataclasses.replace(
        source,
        id=name,
        version="0.1.0",
        summary=f"{source.id} tuned on {', '.join(labels)}"[:120],
        labels="own",
        own_labels=labels,
        heads=(),
        convert=convert,
        train=(head, whole),
        prune=None,
        quantize=None,
        person=person,
    )


def parted(data: FaceData, seed: int) -> FaceData:
    """The rows as Training, Validation and Test: the set's own splits, or drawn, whole persons where they are known."""
    usage = data.usage.astype(object)
    labels = data.labels("own")
    if not np.isin(usage, ("Test", "PrivateTest")).any():
        free = np.flatnonzero(~np.isin(usage, VALIDATION_SPLITS))
        k = min(FOLDS, len(np.unique(data.subject[free])))
        usage[free] = TRAINING
        usage[free[grouped_folds(labels[free], data.subject[free], k, seed) == 0]] = TEST
    usage[~np.isin(usage, ("Test", "PrivateTest", *VALIDATION_SPLITS))] = TRAINING
    if not np.isin(usage, VALIDATION_SPLITS).any():
        rest = np.flatnonzero(usage == TRAINING)
        usage[rest[hold_out(labels[rest], data.subject[rest], _VALIDATION_SHARE, seed)]] = VALIDATION
    split = usage.astype(str)
    return dataclasses.replace(data, usage=split, duplicate=duplicates(identical_groups(data.images), split))


def judged_rows(data: FaceData) -> FaceData:
    """The rows that nothing was chosen on."""
    return data.select(np.isin(data.usage, ("Test", "PrivateTest")))


@dataclass
class _Best:
    """The epoch with the lowest validation loss so far, and how long ago it was."""

    loss: float = float("inf")
    since: int = 0
    curve: list[Epoch] = field(default_factory=list)


@dataclass(frozen=True)
class Tuned:
    """What fine-tuning left: the best epoch's weights, the curve, minutes of training."""

    weights: Path
    curve: tuple[Epoch, ...]
    minutes: float


def tune(recipe: Recipe, data: FaceData, state: Path, say: Callable[[str], None], limit_min: float) -> Tuned:
    """Trains by ``tuned_recipe`` until the validation loss stops falling, in each cycle for itself.

    Args:
        recipe: by ``tuned_recipe``, loaded again from its file.
        data: by ``parted``.
        state: an empty folder for the run's state.
        say: prints a line.
        limit_min: minutes after which the epoch in hand is the last.
    """
    check_recipe(recipe)
    held_out, best, source = validation_split(data), _Best(), load_recipe(recipe.train[0].start)
    truth = held_out.labels("own")
    pruned_from = source.id if source.prune is not None else None

    def on_epoch(epoch: int, size_px: int, average: nn.Module, loss: float, minutes: float) -> bool:
        probabilities = predict(average, recipe, held_out.images, size_px)
        found = float(-np.log(np.maximum(probabilities[np.arange(len(truth)), truth], 1e-6)).mean())
        accuracy = float((probabilities.argmax(axis=1) == truth).mean())
        best.curve.append(Epoch(epoch, size_px, round(loss, 4), round(accuracy, 5), round(minutes, 3)))
        best.since += 1
        if found < best.loss:
            best.loss, best.since = found, 0
            save_weights(average, state / BEST, pruned_from=pruned_from)
        say(f"epoch {epoch}: loss {loss:.3f}, validation loss {found:.3f}, accuracy {accuracy:.1%}, {minutes:.1f} min")
        enough = best.since >= _PATIENCE or minutes >= limit_min
        if enough:
            best.since = 0  # the next cycle has its own patience
        return enough

    minutes = train_cycles(recipe, lambda cycle: train_split(data, recipe, cycle), state, ALONE, on_epoch)
    write_bytes(state / CURVE, "".join(json.dumps(figures(line)) + "\n" for line in best.curve).encode())
    return Tuned(state / BEST, tuple(best.curve), minutes)


def scores_before(source: Recipe, recipe: Recipe, rows: FaceData) -> Scores | None:
    """The source's own answers on these rows, among the labels that it knows by any spelling; None: it lacks one."""
    same = same_labels(recipe.label_names, source.label_names)
    if len(same) < len(recipe.label_names):
        return None
    probabilities = predict(load_network(source), source, rows.images, source.size_px)
    return _scored(probabilities[:, [same[i] for i in range(len(same))]], rows)


def scores_after(recipe: Recipe, weights: Path, rows: FaceData) -> Scores:
    """The tuned network's in float."""
    return _scored(predict(load_network(recipe, weights), recipe, rows.images, recipe.size_px), rows)


def _scored(probabilities: NDArray[np.float32], rows: FaceData) -> Scores:
    shares = probabilities / np.maximum(probabilities.sum(axis=1, keepdims=True), 1e-12)
    return score(np.asarray(shares, dtype=np.float32), rows.labels("own"))
