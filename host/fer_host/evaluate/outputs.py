"""What an evaluation leaves for a person to look at: a row for each picture, and the wrong ones on one sheet."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_host.errors import DataError
from fer_host.evaluate.judged import Judged
from fer_host.files.artifacts import write_bytes

_CELL_PX, _CAPTION_PX, _COLUMNS = 128, 34, 8
_MOST = 96  # wrong pictures on a sheet, the surest first


def write_rows(judged: Judged, path: Path) -> None:
    """A CSV with one row per picture: image, label, answer, correct, probability, p_<label> of each label."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["image", "label", "answer", "correct", "probability", *(f"p_{name}" for name in judged.names)])
    for i, image in enumerate(judged.images):
        own = judged.probabilities[i]
        answer, label = int(own.argmax()), int(judged.labels[i])
        shown = [judged.names[label], judged.names[answer], int(answer == label), f"{own[answer]:.4f}"]
        writer.writerow([image, *shown, *(f"{value:.4f}" for value in own)])
    write_bytes(path, buffer.getvalue().encode())


def write_wrong(judged: Judged, path: Path) -> int:
    """The wrong answers as one picture, the surest first; gives how many there are (at most 96 are shown).

    Raises:
        DataError: a name that is no picture's.
    """
    answers = judged.probabilities.argmax(axis=1)
    wrong = np.flatnonzero(answers != judged.labels)
    wrong = wrong[np.argsort(-judged.probabilities[wrong].max(axis=1), kind="stable")]
    cells = [_cell(judged, int(i)) for i in wrong[:_MOST]] or [_blank("no wrong answer")]
    columns = min(_COLUMNS, len(cells))
    cells += [_blank("")] * (-len(cells) % columns)
    rows = [np.hstack(cells[start : start + columns]) for start in range(0, len(cells), columns)]
    try:
        done, content = cv2.imencode(path.suffix, np.ascontiguousarray(np.vstack(rows)[:, :, ::-1]))
    except cv2.error:
        done = False
    if not done:
        raise DataError(f"--wrong {path}: no kind of picture that can be written; expected .jpg or .png")
    write_bytes(path, content.tobytes())
    return len(wrong)


def _cell(judged: Judged, i: int) -> NDArray[np.uint8]:
    own = judged.probabilities[i]
    crop = judged.crops[i] if judged.crops[i].ndim == 3 else np.repeat(judged.crops[i][:, :, None], 3, axis=2)
    cell = _blank(
        f"{judged.names[judged.labels[i]]} > {judged.names[int(own.argmax())]} {own.max():.2f}", judged.images[i]
    )
    cell[:_CELL_PX] = cv2.resize(crop, (_CELL_PX, _CELL_PX), interpolation=cv2.INTER_LINEAR)
    return cell


def _blank(*lines: str) -> NDArray[np.uint8]:
    cell = np.full((_CELL_PX + _CAPTION_PX, _CELL_PX, 3), 255, dtype=np.uint8)
    for number, line in enumerate(lines):
        text = line[-22:] if number else line[:22]
        place = (3, _CELL_PX + 13 + 14 * number)
        cv2.putText(cell, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.34, (0, 0, 0), 1, cv2.LINE_AA)
    return cell
