"""``fer-host kfold RECIPE``: trains the recipe once a fold, and reports mean and standard deviation over the folds.

The best epoch of a fold is chosen on validation rows out of its training rows; its test rows are scored once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn
from tqdm import tqdm

from fer_edge.contract import codec
from fer_host.data.faces import FaceData
from fer_host.evaluate.metrics import Scores, score
from fer_host.evaluate.ten_crop import N_CROPS, ten_crops
from fer_host.files.artifacts import digest_json, write_bytes
from fer_host.files.paths import TRAIN_CACHE
from fer_host.models.weights import load_network
from fer_host.recipe.recipe import Recipe
from fer_host.train.checks import check_recipe
from fer_host.train.digest import train_digest
from fer_host.train.parallel import join_team, leave_team, losing_nobody
from fer_host.train.protocols import LEAKY_NOTE, Grouping, as_fold, cross_validation, in_words
from fer_host.train.run import fit, gray_crops
from fer_host.train.scoring import predict, scores

SCHEMA = "fer-edge/kfold/1"


@dataclass(frozen=True)
class FoldScore:
    """Float scores of one fold's test rows; ``protocol`` says in words how rows were grouped."""

    fold: int
    n_train: int
    n_validation: int
    n_test: int
    accuracy: float
    macro_f1: float
    minutes: float
    protocol: str


@dataclass(frozen=True)
class KfoldDoc:
    """All folds; ``mean`` and ``std`` are of accuracy, ``std`` with n - 1.

    ``protocol`` says how rows were grouped, in words; a leaky one is marked as such and carries its ``warning``.
    ``views`` says how many crops of a face were averaged, where that is more than one.
    """

    recipe: str
    data: str
    labels: str
    protocol: str
    seed: int
    folds: tuple[FoldScore, ...]
    mean: float
    std: float
    warning: str | None = None
    views: int | None = None


def run_kfold(
    recipe: Recipe, path: Path, k: int, by: Grouping, seed: int, cache: Path | None = None, ten_crop: bool = False
) -> Iterator[FoldScore]:
    """Trains fold by fold; a killed run resumes where it stopped. Only the team's leader yields scores.

    Args:
        recipe: what to train; it is scored under the protocol of its own labels.
        path: see ``open_data``.
        k: number of folds.
        by: "subject", "sequence", or "leaky" (shuffled rows, see ``LEAKY_NOTE``).
        seed: of folds and validation rows; the recipe's own seed stays that of training.
        cache: folder of the resumable state; None takes ``~/.cache/fer-edge/train``.
        ten_crop: score test rows by the mean of ten crops, as some papers do; epochs are chosen on single views.

    Raises:
        DataError: fewer groups than folds, or folds that cannot be trained on.
        RecipeError: see ``check_recipe``.
    """
    team = join_team()
    check_recipe(recipe, team)
    data = gray_crops(recipe, path, quiet=not team.leads)
    folds = cross_validation(data, recipe.labels, k, by, seed)
    rows_of = [[fold.train.tolist(), fold.validation.tolist()] for fold in folds]  # a run resumes on equal rows only
    name = digest_json([train_digest(recipe, path), k, by, seed, rows_of])[:12]
    root = cache or TRAIN_CACHE / f"{recipe.id}-kfold-{name}"
    for number, fold in enumerate(folds):
        rows = as_fold(data, fold)
        state = root / f"fold-{number + 1}"
        with losing_nobody():
            minutes = fit(recipe, rows, state, team)
        if not team.leads:
            continue
        network = load_network(recipe, state / "best.safetensors")
        test = rows.select(rows.usage == "Test")
        found = ten_crop_scores(network, recipe, test) if ten_crop else scores(network, recipe, test)
        yield FoldScore(
            fold=number + 1,
            n_train=len(fold.train),
            n_validation=len(fold.validation),
            n_test=found.n,
            accuracy=round(found.accuracy, 6),
            macro_f1=round(found.macro_f1, 6),
            minutes=round(minutes, 2),
            protocol=in_words(data, by),
        )
    leave_team()


def ten_crop_scores(network: nn.Module, recipe: Recipe, rows: FaceData) -> Scores:
    """Scores of the mean probabilities over ten crops of each row's face, under the recipe's own labels."""
    images = tqdm(rows.images, unit="face", desc="ten crops", disable=None, leave=False)
    means = [predict(network, recipe, ten_crops(image), recipe.size_px).mean(axis=0) for image in images]
    return score(np.stack(means), rows.labels(recipe.labels))


def summarize(
    recipe: Recipe, path: Path, by: Grouping, seed: int, folds: list[FoldScore], ten_crop: bool = False
) -> KfoldDoc:
    """The document over finished folds."""
    accuracies = np.array([fold.accuracy for fold in folds])
    return KfoldDoc(
        recipe=recipe.id,
        data=str(path),
        labels=recipe.labels,
        protocol=folds[0].protocol,
        seed=seed,
        folds=tuple(folds),
        mean=round(float(accuracies.mean()), 6),
        std=round(float(accuracies.std(ddof=1)), 6),
        warning=LEAKY_NOTE if by == "leaky" else None,
        views=N_CROPS if ten_crop else None,
    )


def save(document: KfoldDoc, path: Path) -> None:
    """Writes the document as JSON."""
    write_bytes(path, codec.dumps(SCHEMA, document).encode())


def format_fold(fold: FoldScore, k: int) -> str:
    """One line a fold for the terminal."""
    return (
        f"fold {fold.fold}/{k}: accuracy {fold.accuracy:.2%} of {fold.n_test}, macro-F1 {fold.macro_f1:.3f} "
        f"(trained on {fold.n_train}, epoch chosen on {fold.n_validation}, {fold.minutes:.1f} min)"
    )


def format_summary(document: KfoldDoc) -> str:
    """The last lines for the terminal."""
    n = sum(fold.n_test for fold in document.folds)
    views = "" if document.views is None else f", mean of {document.views} crops of each face"
    line = (
        f"{document.recipe} on {document.data} ({document.labels}), {document.protocol}{views}: "
        f"{document.mean:.2%} ± {document.std:.2%} over {len(document.folds)} folds (n = {n}, seed {document.seed})"
    )
    return line if document.warning is None else f"{line}\n{document.warning}"
