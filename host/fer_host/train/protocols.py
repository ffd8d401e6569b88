"""Who is trained on and who is tested on: fixed splits, grouped folds. Pure functions of arrays.

Rows of one group (a person, a sequence of near-identical frames, identical images) never part company.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fer_host.data.faces import ALL, TRAINING, FaceData, duplicates, identical_groups
from fer_host.errors import DataError

VALIDATION = "Validation"
HELD_OUT = "Held out of Training"
VALIDATION_SPLITS = ("PublicTest", VALIDATION)  # FER2013 calls its own PublicTest

Grouping = Literal["subject", "sequence", "leaky"]
LEAKY_NOTE = (
    "LEAKY folds: near-identical frames stand on both sides, so the figure is too high; "
    "only to compare with papers that did the same"
)


@dataclass(frozen=True)
class Fold:
    """Row indices of one fold; the best epoch is chosen on ``validation``, never on ``test``."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def grouped_folds(labels: NDArray[np.int64], groups: NDArray[np.str_], k: int, seed: int) -> NDArray[np.int64]:
    """The fold, 0 to k - 1, in which each row is tested: no group in two folds, classes spread as far as groups allow.

    Groups, largest first and equal ones in random order, go one by one to the fold that holds least of their classes
    (each class counted in shares of itself, so that rare ones weigh as much), and to the smallest of equal folds.

    Args:
        labels: (N,) class of each row; any integers.
        groups: (N,) group of each row.
        k: number of folds, at least 2.
        seed: of the order of equal groups.

    Raises:
        DataError: fewer groups than folds.
    """
    _, group = np.unique(groups, return_inverse=True)
    _, label = np.unique(labels, return_inverse=True)
    n_groups = int(group.max(initial=-1)) + 1
    if not 2 <= k <= n_groups:
        raise DataError(f"folds: found {k} folds for {n_groups} groups of rows; expected 2 to as many as there are")
    counts = np.zeros((n_groups, int(label.max()) + 1))
    np.add.at(counts, (group, label), 1)
    shares = counts / counts.sum(axis=0)
    shuffled = np.random.default_rng(seed).permutation(n_groups)
    order = shuffled[np.argsort(-counts.sum(axis=1)[shuffled], kind="stable")]
    held = np.zeros((k, counts.shape[1]))
    sizes = np.zeros(k)
    fold_of_group = np.zeros(n_groups, dtype=np.int64)
    for g in order:
        overlap = held @ shares[g]
        fold = int(np.lexsort((sizes, overlap.round(12)))[0])
        fold_of_group[g] = fold
        held[fold] += shares[g]
        sizes[fold] += counts[g].sum()
    return np.asarray(fold_of_group[group], dtype=np.int64)


def leaky_shuffled_folds(n: int, k: int, seed: int) -> NDArray[np.int64]:
    """The fold of each row, drawn without regard to groups, as some papers did; see ``LEAKY_NOTE``."""
    if not 2 <= k <= n:
        raise DataError(f"folds: found {k} folds for {n} rows; expected 2 to {n}")
    folds = np.empty(n, dtype=np.int64)
    folds[np.random.default_rng(seed).permutation(n)] = np.arange(n) % k
    return folds


def hold_out(labels: NDArray[np.int64], groups: NDArray[np.str_], share: float, seed: int) -> NDArray[np.bool_]:
    """(N,) bool: about ``share`` of the rows, but whole groups and one at least, classes spread; for validation.

    Raises:
        DataError: all rows are of one group, or there are none.
    """
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        raise DataError(f"validation: found {n_groups} persons or sequences with a label; expected 2 or more to part")
    return np.asarray(grouped_folds(labels, groups, min(n_groups, max(2, round(1 / share))), seed) == 0)


def group_ids(data: FaceData, by: Grouping) -> NDArray[np.str_]:
    """(N,) group of each row: "subject" is the stricter; "leaky" makes every row its own."""
    if by == "leaky":
        return np.arange(len(data)).astype(str)
    return data.subject if by == "subject" else data.sequence


def in_words(data: FaceData, by: Grouping) -> str:
    """How folds of this set are grouped; persons that are not known are not claimed to be kept apart."""
    if by == "leaky":
        return "LEAKY shuffled folds"
    if data.persons_known:
        return f"folds grouped by {by}"
    return "folds that keep identical images together (persons not known: one may be on both sides)"


def cross_validation(data: FaceData, labels: str, k: int, by: Grouping, seed: int, share: float = 0.1) -> list[Fold]:
    """k folds over all rows with a label; validation rows come out of each fold's training rows, by the same groups.

    Args:
        data: any rows; a published split is not looked at.
        labels: "ferplus8" or "fer7".
        k: number of folds.
        by: what must not part company.
        seed: of every draw.
        share: of the training rows that validation takes.

    Raises:
        DataError: fewer groups than folds.
    """
    usable = np.flatnonzero(data.labels(labels) >= 0)
    label, groups = data.labels(labels)[usable], group_ids(data, by)[usable]
    folds = leaky_shuffled_folds(len(usable), k, seed) if by == "leaky" else grouped_folds(label, groups, k, seed)
    found = []
    for i in range(k):
        rest = np.flatnonzero(folds != i)
        held = hold_out(label[rest], groups[rest], share, seed)
        found.append(Fold(usable[rest[~held]], usable[rest[held]], usable[folds == i]))
    return found


def with_validation(data: FaceData, labels: str, seed: int, share: float = 0.1) -> FaceData:
    """The same rows with a validation split: their own, or about ``share`` of Training, whole persons, seeded.

    A set without a published split is trained on but for those rows. ``duplicate`` follows the rows that moved.
    """
    if np.isin(data.usage, VALIDATION_SPLITS).any():
        return data
    own = data.usage == (TRAINING if (data.usage == TRAINING).any() else ALL)
    rows = np.flatnonzero(own & (data.labels(labels) >= 0))
    held = hold_out(data.labels(labels)[rows], data.subject[rows], share, seed)
    usage = data.usage.astype(object)
    usage[own] = TRAINING
    usage[rows[held]] = VALIDATION
    return _with_usage(data, usage.astype(str))


def validation_rows(data: FaceData) -> FaceData:
    """The rows on which epochs and settings are chosen."""
    return data.select(np.isin(data.usage, VALIDATION_SPLITS))


def with_held_out(data: FaceData, labels: str, seed: int, share: float) -> FaceData:
    """The same rows, but about ``share`` of Training in a split of its own, ``HELD_OUT``; 0 changes nothing.

    Whole persons (of a set that does not know them, identical images) go there, classes spread.
    """
    if not share:
        return data
    rows = np.flatnonzero((data.usage == TRAINING) & (data.labels(labels) >= 0))
    held = hold_out(data.labels(labels)[rows], data.subject[rows], share, seed)
    groups = np.unique(data.subject[rows[held]])
    usage = data.usage.astype(object)
    usage[(data.usage == TRAINING) & np.isin(data.subject, groups)] = HELD_OUT
    return _with_usage(data, usage.astype(str))


def temperature_rows(data: FaceData) -> FaceData:
    """The rows that a temperature is fitted on: those held out of Training, else the validation rows."""
    held = data.usage == HELD_OUT
    return data.select(held) if held.any() else validation_rows(data)


def as_fold(data: FaceData, fold: Fold) -> FaceData:
    """The fold's rows, their ``usage`` set to Training, Validation and Test, and ``duplicate`` with it."""
    usage = np.full(len(data), ALL, dtype="U10")
    usage[fold.train], usage[fold.validation], usage[fold.test] = TRAINING, VALIDATION, "Test"
    return _with_usage(data, usage).select(usage != ALL)


def _with_usage(data: FaceData, usage: NDArray[np.str_]) -> FaceData:
    """The rows in other splits: what is a duplicate of a Training image depends on where that image is."""
    return dataclasses.replace(data, usage=usage, duplicate=duplicates(identical_groups(data.images), usage))
