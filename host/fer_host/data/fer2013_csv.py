"""FER2013 as it was published, ``fer2013.csv``, with FERPlus' votes from ``fer2013new.csv`` where that lies beside it.

Columns: emotion, pixels (48 x 48 numbers), Usage; and Usage, Image name, eight emotions, unknown, NF, row by row.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.bounds import TRAINING_VOTES
from fer_edge.contract.labels import EMOTIONS7, EMOTIONS8
from fer_host.data.faces import FaceData, duplicates, identical_groups
from fer_host.data.fer2013 import agreed_label, majority_label
from fer_host.data.labels import FER2013
from fer_host.errors import DataError

NAMES = ("fer2013.csv", "icml_face_data.csv")  # the second is the same data, published later by the same contest
VOTES_NAME = "fer2013new.csv"
_SIDE_PX = 48
_VOTE_COLUMNS = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip


def load_csv(path: Path) -> FaceData:
    """Reads the CSV, and the votes beside it if they are there; without votes no row has a "ferplus8" label.

    Raises:
        DataError: a column is missing, a row is not a picture, or the two files do not belong together.
    """
    rows = _table(path, ("emotion", "pixels", "Usage"))
    images = np.stack([_pixels(row["pixels"], path, line) for line, row in enumerate(rows, 2)])
    label7 = np.array([EMOTIONS7.index(_emotion(row["emotion"], path, i)) for i, row in enumerate(rows, 2)])
    usage = np.array([row["Usage"].strip() for row in rows])
    beside = path.with_name(VOTES_NAME)
    votes = _votes(beside, usage) if beside.is_file() else None
    groups = identical_groups(images)
    empty = np.zeros((len(rows), len(EMOTIONS8)), dtype=np.float32)
    return FaceData(
        source=f"FER2013 with FERPlus votes ({path.name}, {VOTES_NAME})"
        if votes is not None
        else f"FER2013 without FERPlus votes ({path.name}; put {VOTES_NAME} beside it for them)",
        images=images,
        votes8=empty if votes is None else votes[:, [_VOTE_COLUMNS.index(name) for name in EMOTIONS8]],
        label8=np.full(len(rows), -1, dtype=np.int64) if votes is None else majority_label(votes, list(_VOTE_COLUMNS)),
        majority8=None if votes is None else agreed_label(votes, list(_VOTE_COLUMNS)),
        label7=label7.astype(np.int64),
        usage=usage,
        duplicate=duplicates(groups, usage),
        sequence=groups,
        subject=groups,
    )


def _table(path: Path, needed: tuple[str, ...]) -> list[dict[str, str]]:
    csv.field_size_limit(min(sys.maxsize, 1 << 20))
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            found = [name.strip() for name in reader.fieldnames or ()]
            missing = [name for name in needed if name not in found]
            if missing:
                raise DataError(
                    f"data set {path}: lacks the column {missing[0]!r}, found {', '.join(found) or 'nothing'}; "
                    f"expected {', '.join(needed)}"
                )
            reader.fieldnames = found
            rows = [{name: row[name] or "" for name in needed} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"data set {path}: not a CSV file ({error}); expected {', '.join(needed)}") from error
    if not rows:
        raise DataError(f"data set {path}: no rows below its header; expected one per image, download it again")
    return rows


def _pixels(text: str, path: Path, line: int) -> NDArray[np.uint8]:
    n = _SIDE_PX * _SIDE_PX
    try:
        values = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError):
        values = np.empty(0, dtype=np.int64)
    if len(values) != n or values.min() < 0 or values.max() > 255:
        raise DataError(
            f"data set {path}, line {line}: found {len(values)} usable pixel values, expected {n} from 0 to 255; "
            "the file is cut off or damaged, download it again"
        )
    return values.astype(np.uint8).reshape(_SIDE_PX, _SIDE_PX)


def _emotion(text: str, path: Path, line: int) -> str:
    try:
        return FER2013[int(text)]
    except (ValueError, KeyError) as error:
        raise DataError(f"data set {path}, line {line}: found emotion {text!r}, expected 0 to 6") from error


def _votes(path: Path, usage: NDArray[np.str_]) -> NDArray[np.float32]:
    """(N, 10) votes in the order of ``_VOTE_COLUMNS``; the file has FER2013's rows in FER2013's order."""
    rows = _table(path, ("Usage", *_VOTE_COLUMNS))
    if [row["Usage"].strip() for row in rows] != usage.tolist():
        raise DataError(
            f"data set {path}: {len(rows)} rows that do not follow the Usage of the {len(usage)} images beside it; "
            "expected the same rows in the same order: take both files as they were published"
        )
    try:
        votes = np.array([[float(row[name]) for name in _VOTE_COLUMNS] for row in rows])
    except ValueError as error:
        raise DataError(f"data set {path}: a vote is no number ({error}); expected 0 to 10") from error
    if not ((votes >= 0) & (votes <= TRAINING_VOTES)).all():
        raise DataError(f"data set {path}: found votes beyond 0 to {TRAINING_VOTES}; expected 0 to 10")
    return votes.astype(np.float32)
