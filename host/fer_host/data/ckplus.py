"""CK+ (Lucey et al. 2010) as published: ``cohn-kanade-images/S005/001/*.png`` and ``Emotion/S005/001/*_emotion.txt``.

A sequence runs from neutral to the peak; by custom its three last frames carry the sequence's label.
"""

from __future__ import annotations

from pathlib import Path

from fer_host.data.faces import ALL
from fer_host.data.labels import CKPLUS
from fer_host.data.unread import FaceFiles, files_of
from fer_host.errors import DataError

IMAGES, LABELS = "cohn-kanade-images", "Emotion"
PEAK_FRAMES = 3


def is_ckplus(folder: Path) -> bool:
    """True where either half of the set is."""
    return (folder / IMAGES).is_dir() or (folder / LABELS).is_dir()


def load_ckplus(folder: Path) -> FaceFiles:
    """Lists the peak frames of every labelled sequence; no sequence is labelled neutral.

    Raises:
        DataError: half of the set is missing, a label does not read, or a labelled sequence lacks its frames.
    """
    for part, what in ((IMAGES, "frames"), (LABELS, "labels")):
        if not (folder / part).is_dir():
            raise DataError(
                f"data {folder}: CK+ without its {what}; expected {IMAGES} and {LABELS} beside each other: "
                f"unpack the {what} archive there"
            )
    files: list[Path] = []
    names: list[str] = []
    sequences: list[str] = []
    subjects: list[str] = []
    for path in sorted((folder / LABELS).glob("*/*/*_emotion.txt")):
        subject, sequence = path.parts[-3:-1]
        frames = sorted((folder / IMAGES / subject / sequence).glob("[!.]*.png"))[-PEAK_FRAMES:]
        if len(frames) < PEAK_FRAMES:
            raise DataError(
                f"data {folder}: CK+ sequence {subject}/{sequence} has a label and {len(frames)} frames, "
                f"expected at least {PEAK_FRAMES}: unpack the frames again"
            )
        files += frames
        names += [_label(path)] * PEAK_FRAMES
        sequences += [f"{subject}_{sequence}"] * PEAK_FRAMES
        subjects += [subject] * PEAK_FRAMES
    if not files:
        raise DataError(f"data {folder}: CK+ without a label; expected {LABELS}/S005/001/*_emotion.txt")
    usage = [ALL] * len(files)
    return files_of(
        "CK+, three peak frames a sequence", "photos", files, names, usage, sequence=sequences, subject=subjects
    )


def _label(path: Path) -> str:
    try:
        return CKPLUS[int(float(path.read_text()))]  # published as e.g. "   3.0000000e+00"
    except (ValueError, KeyError) as error:
        raise DataError(
            f"data {path}: found {path.read_text().strip()[:20]!r}, expected a number 1 to 7: unpack the labels again"
        ) from error
