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

from fer_host.device_pipeline import photo_files
from fer_host.errors import DataError

_IDENTITY = re.compile(r"n\d{6}")
_PARTS = ("train", "test")
VALIDATION_SHARE = 0.074  # 243,722 of 3,311,286 faces, as the thesis' reference notebook has it


@dataclass(frozen=True)
class Identities:
    """A tree of identities.

    Attributes:
        files: (N,) of Path.
        label: (N,) int64 index into ``names``.
        names: of the identities, sorted.
        validation: (N,) bool; drawn within each identity, because every identity must be learned.
    """

    files: NDArray[np.object_]
    label: NDArray[np.int64]
    names: tuple[str, ...]
    validation: NDArray[np.bool_]


def is_identities(folder: Path) -> bool:
    """True where identity folders are, here or below train or test."""
    return bool(_identity_folders(folder))


def load_identities(folder: Path, seed: int, validation_share: float = VALIDATION_SHARE) -> Identities:
    """Lists the tree. An identity with one photo only is trained on.

    Raises:
        DataError: no identity folders, an identity without photos, or one below both train and test.
    """
    folders = _identity_folders(folder)
    if not folders:
        raise DataError(f"data {folder}: no identities; expected folders as VGGFace2 names them, train/n000002/*.jpg")
    names = sorted(path.name for path in folders)
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"data {folder}: identity {twice[0]} is below train and test; expected each once: unpack again")
    random = np.random.default_rng(seed)
    files: list[Path] = []
    labels: list[int] = []
    held_out: list[bool] = []
    for label, path in enumerate(sorted(folders, key=lambda path: path.name)):
        photos = photo_files(path)
        if not photos:
            raise DataError(f"data {path}: an identity without photos; expected .jpg files: unpack the set again")
        n_held_out = min(len(photos) - 1, round(len(photos) * validation_share))
        drawn = set(random.permutation(len(photos))[:n_held_out].tolist())
        files += photos
        labels += [label] * len(photos)
        held_out += [i in drawn for i in range(len(photos))]
    paths = np.empty(len(files), dtype=object)
    paths[:] = files
    return Identities(paths, np.array(labels, dtype=np.int64), tuple(names), np.array(held_out))


def _identity_folders(folder: Path) -> list[Path]:
    places = [folder / part for part in _PARTS if (folder / part).is_dir()] or [folder]
    return [path for place in places for path in place.iterdir() if path.is_dir() and _IDENTITY.fullmatch(path.name)]
