"""AffectNet (Mollahosseini et al. 2017) in its two layouts: cropped faces with .npy labels, and photos with CSV files.

Its validation set counts as "Test" here: it is what papers report on, since the real test set was never published.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fer_host.data.faces import TEST, TRAINING
from fer_host.data.labels import AFFECTNET
from fer_host.data.unread import FaceFiles, files_of
from fer_host.errors import DataError

FOLDERS = {"train_set": TRAINING, "val_set": TEST}
TABLES = {"training.csv": TRAINING, "validation.csv": TEST}
COLUMNS = (
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression",
    "valence", "arousal",
)  # fmt: skip
_PLACES = ("", "Manually_Annotated_Images", "Manually_Annotated_compressed/Manually_Annotated_Images")
_N_EXPRESSIONS = 11  # 8 none, 9 uncertain, 10 no face


def is_affectnet(folder: Path) -> bool:
    """True where the cropped layout, or half of it, is."""
    return any((folder / name).is_dir() for name in FOLDERS)


def is_affectnet_csv(folder: Path) -> bool:
    """True where one of the tables is."""
    return any((folder / name).is_file() for name in TABLES)


def load_affectnet(folder: Path) -> FaceFiles:
    """Lists ``train_set/images/<id>.jpg`` with ``train_set/annotations/<id>_exp.npy``, and ``val_set`` likewise.

    Raises:
        DataError: a half is missing, or a label file does not read.
    """
    files: list[Path] = []
    names: list[str | None] = []
    usage: list[str] = []
    for part, split in FOLDERS.items():
        images, annotations = folder / part / "images", folder / part / "annotations"
        if not images.is_dir() or not annotations.is_dir():
            lacking = images if not images.is_dir() else annotations
            raise DataError(
                f"data {folder}: AffectNet without {lacking.relative_to(folder)}; "
                "expected images and annotations in train_set and val_set: unpack both archives"
            )
        found = sorted(path for path in images.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        for path in tqdm(found, unit="label", desc=part, disable=None, leave=False):
            names.append(AFFECTNET.get(_npy_label(annotations / f"{path.stem}_exp.npy")))
            files.append(path)
            usage.append(split)
    if not files:
        raise DataError(f"data {folder}: AffectNet without images; expected train_set/images/*.jpg")
    return files_of("AffectNet, cropped faces with .npy labels", "crops", files, names, usage)


def _npy_label(path: Path) -> int:
    try:
        return int(np.load(path, allow_pickle=False))  # published as a number or as its text
    except FileNotFoundError as error:
        raise DataError(f"data {path}: no such file; expected a label for each image: unpack the set again") from error
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise DataError(f"data {path}: not a label ({error}); expected a .npy file with a number 0 to 10") from error


def load_affectnet_csv(folder: Path) -> FaceFiles:
    """Lists ``training.csv`` and ``validation.csv`` (which may have no header) over ``Manually_Annotated_Images``.

    Raises:
        DataError: there are no photos, a column is missing, or a row does not read.
    """
    root = next((folder / place for place in _PLACES[1:] if (folder / place).is_dir()), None)
    if root is None:
        raise DataError(f"data {folder}: AffectNet's tables without photos; expected the folder {_PLACES[1]} beside")
    files: list[Path] = []
    names: list[str | None] = []
    usage: list[str] = []
    boxes: list[tuple[int, int, int, int]] = []
    for table, split in TABLES.items():
        if not (folder / table).is_file():
            raise DataError(f"data {folder}: AffectNet without {table}; expected {' and '.join(TABLES)}")
        for relative, box, expression in _rows(folder / table):
            files.append(root / relative)
            boxes.append(box)
            names.append(AFFECTNET.get(expression))
            usage.append(split)
    missing = [path for path, name in zip(files, names, strict=True) if name is not None and not path.is_file()]
    if missing:
        raise DataError(
            f"data {folder}: AffectNet: {len(missing)} of {len(files)} photos are missing, e.g. {missing[0]}; "
            "expected all that the tables name: unpack every part of the archive"
        )
    return files_of("AffectNet, photos with CSV tables", "photos", files, names, usage, boxes=boxes)


def _rows(path: Path) -> list[tuple[str, tuple[int, int, int, int], int]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.reader(file))
    header = [cell.strip() for cell in lines[0]] if lines and lines[0] and lines[0][0] == COLUMNS[0] else None
    column = {name: i for i, name in enumerate(header or COLUMNS)}
    lacking = [name for name in COLUMNS[:7] if name not in column]
    if lacking:
        raise DataError(f"data {path}: lacks the column {lacking[0]!r}; expected {', '.join(COLUMNS)}")
    rows = []
    for number, line in enumerate(lines[1:] if header else lines, 2 if header else 1):
        try:
            x, y, w, h = (int(float(line[column[name]])) for name in COLUMNS[1:5])
            expression = int(line[column["expression"]])
            if not 0 <= expression < _N_EXPRESSIONS:
                raise ValueError(f"expression {expression}")
        except (ValueError, IndexError) as error:
            raise DataError(
                f"data {path}, line {number}: does not read ({error}); expected numbers for the face box "
                "and an expression 0 to 10"
            ) from error
        rows.append((line[column[COLUMNS[0]]].strip(), (x, y, w, h), expression))
    return rows
