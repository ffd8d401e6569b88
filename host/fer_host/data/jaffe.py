"""JAFFE (Lyons et al. 1998): 213 photos in one folder, ``KA.AN1.39.tiff``: subject, emotion and take, number."""

from __future__ import annotations

import re
from pathlib import Path

from fer_host.data.faces import ALL
from fer_host.data.labels import JAFFE
from fer_host.data.unread import FaceFiles, files_of
from fer_host.errors import DataError

_NAME = re.compile(r"([A-Z]{2})\.([A-Z]{2})\d*\.\d+\.tiff?", re.IGNORECASE)


def is_jaffe(folder: Path) -> bool:
    """True where a file is named as the set names them."""
    return any(_NAME.fullmatch(path.name) for path in folder.iterdir())


def load_jaffe(folder: Path) -> FaceFiles:
    """Lists the photos; a subject's takes of one emotion are near-identical: they are a sequence.

    Folds should go by subject all the same, because ten people look like themselves in every emotion.

    Raises:
        DataError: a TIFF file's name does not say its emotion.
    """
    files, names, subjects, sequences = [], [], [], []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in (".tif", ".tiff") or path.name.startswith("."):
            continue
        match = _NAME.fullmatch(path.name)
        if match is None or match[2].upper() not in JAFFE:
            raise DataError(
                f"data {path}: no JAFFE name; expected e.g. KA.AN1.39.tiff with one of {', '.join(JAFFE)}: "
                "rename or remove the file"
            )
        files.append(path)
        names.append(JAFFE[match[2].upper()])
        subjects.append(match[1].upper())
        sequences.append(f"{match[1]}_{match[2]}".upper())
    return files_of("JAFFE", "photos", files, names, [ALL] * len(files), sequence=sequences, subject=subjects)
