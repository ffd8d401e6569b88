"""Faces by identity, for the thesis' face-recognition stage: VGGFace2's ``train/n000002/0001_01.jpg``.

VGGFace2 (Cao et al. 2018) has 9,131 identities, 8,631 below ``train`` and 500 below ``test``; the stage uses them all.
The set is not on the machines where this project is tested: this reader has only ever seen generated trees.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_host.data.shards import is_shards, load_shards
from fer_host.data.streamed import FileSource, Source
from fer_host.device_pipeline import photo_files
from fer_host.errors import DataError

_IDENTITY = re.compile(r"n\d{6}")
_PARTS = ("train", "test")
VALIDATION_SHARE = 0.074  # 243,722 of 3,311,286 faces, as the thesis' reference notebook has it


@dataclass(frozen=True)
class Identities:
    """A tree of identities.

    Attributes:
        source: of N faces.
        label: (N,) int64 index into ``names``.
        names: of the identities, sorted.
        validation: (N,) bool; drawn within each identity, because every identity must be learned.
    """

    source: Source
    label: NDArray[np.int64]
    names: tuple[str, ...]
    validation: NDArray[np.bool_]


def is_identities(folder: Path) -> bool:
    """True where identity folders are, here or below train or test."""
    return bool(_identity_folders(folder))


def load_identities(folder: Path, seed: int, validation_share: float = VALIDATION_SHARE) -> Identities:
    """Lists the tree, or a set in shards that was made of one. An identity with one photo only is trained on.

    Raises:
        DataError: no identity folders, an identity without photos, or one below both train and test.
    """
    if is_shards(folder):
        return _of_shards(folder, seed, validation_share)
    files, labels, names = list_identities(folder)
    label = np.array(labels, dtype=np.int64)
    return Identities(FileSource.of(files), label, names, _held_out(label, len(names), seed, validation_share))


def _of_shards(folder: Path, seed: int, share: float) -> Identities:
    rows = load_shards(folder)
    if rows.document.kind != "identities":
        raise DataError(f"data {folder}: {rows.source} tells nobody apart; expected shards of faces by identity")
    names, label = np.unique(rows.subject, return_inverse=True)
    return Identities(rows.pictures, label, tuple(names.tolist()), _held_out(label, len(names), seed, share))


def _held_out(label: NDArray[np.int64], n: int, seed: int, share: float) -> NDArray[np.bool_]:
    """(N,) bool; rows of one identity stand together, in the order of ``names``."""
    random = np.random.default_rng(seed)
    held_out = np.zeros(len(label), dtype=bool)
    start = 0
    for n_faces in np.bincount(label, minlength=n).tolist():
        drawn = random.permutation(n_faces)[: min(n_faces - 1, round(n_faces * share))]
        held_out[start + drawn] = True
        start += n_faces
    return held_out


def list_identities(folder: Path) -> tuple[list[Path], list[int], tuple[str, ...]]:
    """Files, the identity of each, and the identities' names, of a tree.

    Raises:
        DataError: see ``load_identities``.
    """
    folders = _identity_folders(folder)
    if not folders:
        raise DataError(f"data {folder}: no identities; expected folders as VGGFace2 names them, train/n000002/*.jpg")
    names = sorted(path.name for path in folders)
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"data {folder}: identity {twice[0]} is below train and test; expected each once: unpack again")
    files: list[Path] = []
    labels: list[int] = []
    for label, path in enumerate(sorted(folders, key=lambda path: path.name)):
        photos = photo_files(path)
        if not photos:
            raise DataError(f"data {path}: an identity without photos; expected .jpg files: unpack the set again")
        files += photos
        labels += [label] * len(photos)
    return files, labels, tuple(names)


def _identity_folders(folder: Path) -> list[Path]:
    places = [folder / part for part in _PARTS if (folder / part).is_dir()] or [folder]
    return [path for place in places for path in place.iterdir() if path.is_dir() and _IDENTITY.fullmatch(path.name)]
