"""Faces for calibration: rows of a data set, or a user's photos through the device's own detector and crop."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fer_edge.contract.specs import AlignSpec
from fer_host.calibration.lint import LintReport, lint
from fer_host.data import fer2013
from fer_host.data.damage import name_unreadable
from fer_host.data.faces import TRAINING, FaceData
from fer_host.data.labels import LABEL_SYNONYMS, meant
from fer_host.data.load import load_data
from fer_host.data.shards import is_shards
from fer_host.detector.cut import cut_of
from fer_host.detector.networks import load_detector_model
from fer_host.device_pipeline import FaceDetector, ImageError, crop_face, largest_face, photo_files, read_photo
from fer_host.errors import DataError
from fer_host.files.artifacts import sha256_bytes
from fer_host.recipe.recipe import Recipe


@dataclass(frozen=True)
class CalibrationFaces:
    """Crops with what identifies each: origin (file name or row) and label, None where unknown."""

    crops: list[NDArray[np.uint8]]
    origins: list[str]
    labels: list[str | None]
    report: LintReport

    def hashes(self) -> list[str]:
        """sha256 of every crop's pixels."""
        return [sha256_bytes(crop.tobytes()) for crop in self.crops]

    def say_warnings(self) -> None:
        """Prints what is odd about them."""
        for line in self.report.warnings:
            print(f"  calibration note: {line}")


def load_faces(data: Path, recipe: Recipe, n: int, seed: int) -> CalibrationFaces:
    """Faces of the npz, of a set in shards, or of a folder of photos through the device's own detector and crop."""
    if data.suffix == ".npz":
        return faces_from_npz(data, n, seed)
    if data.is_dir() and is_shards(data):
        color: Literal["gray", "rgb"] = "rgb" if recipe.input.color == "rgb" else "gray"
        cut = cut_of(recipe.detector, recipe.align)
        rows = load_data(data, size_px=recipe.input.source_px, color=color, own=recipe.own_labels, cut=cut, quiet=True)
        if not (rows.usage == TRAINING).any():  # published without a split
            rows = dataclasses.replace(rows, usage=np.full(len(rows), TRAINING))
        return faces_from_rows(rows, recipe.labels, n, seed, source=str(data))
    return faces_from_folder(data, load_detector_model(recipe.detector), recipe.align, n, recipe.label_names)


def training_faces(recipe: Recipe, rows: FaceData, source: str, n: int = 256, seed: int = 1) -> CalibrationFaces:
    """The faces that tuned weights are calibrated on: a balanced draw of the Training rows; prints what is odd.

    From FER2013's npz, by the labels of ``ferplus8``, these are the faces of the set ``fer2013_256``.

    Args:
        recipe: whose labels count.
        rows: see ``train.run.training_data``.
        source: names the set in a refusal.
        n: faces at most.
        seed: of the draw.

    Raises:
        DataError: too few different faces.
    """
    faces = faces_from_rows(rows, recipe.labels, n, seed, source=source)
    faces.say_warnings()
    return faces


def faces_from_npz(path: Path, n: int, seed: int, balanced: bool = True) -> CalibrationFaces:
    """``faces_from_rows`` of FER2013's npz, by its eight labels."""
    return faces_from_rows(fer2013.load(path), "ferplus8", n, seed, balanced, source=str(path))


def faces_from_rows(
    rows: FaceData, labels: str, n: int, seed: int, balanced: bool = True, *, source: str
) -> CalibrationFaces:
    """``n`` faces of a data set's Training rows, spread over the labels as evenly as they go.

    Args:
        rows: all of the set; those of another split or without a label are left out.
        labels: label set, "ferplus8" or "fer7".
        n: faces at most.
        seed: of the draw.
        balanced: False draws as the rows come.
        source: names the set in a refusal.

    Raises:
        DataError: too few different faces.
    """
    rows = rows.select((rows.usage == TRAINING) & (rows.labels(labels) >= 0))
    known = rows.labels(labels)
    order = np.random.default_rng(seed).permutation(len(rows))
    if balanced:
        label = known[order]
        turn = np.array([np.sum(label[:i] == label[i]) for i in range(min(len(order), 40 * n))])
        order = order[: len(turn)][np.argsort(turn, kind="stable")]
    picked, crops = _first_read(rows, order, n)
    names: list[str | None] = [rows.names(labels)[known[i]] for i in picked]
    counts = {"n_photos": len(crops), "n_unreadable": 0, "n_without_face": 0}
    report = lint(crops, names, **counts, source=source, remedy=f"give a set with more {labels} labels in Training")
    return CalibrationFaces(crops, [f"Training image {i}" for i in picked], names, report)


def _first_read(rows: FaceData, order: NDArray[np.int64], n: int) -> tuple[list[int], list[NDArray[np.uint8]]]:
    """The first ``n`` rows of an order that can be read, and their pictures."""
    picked: list[int] = []
    crops: list[NDArray[np.uint8]] = []
    for i in order:
        if len(picked) == n:
            break
        try:
            crops.append(rows.images[i])
        except DataError as error:  # of pictures that stream
            name_unreadable([str(error)], "left out")
            continue
        picked.append(int(i))
    return picked, crops


def faces_from_folder(
    folder: Path, detector: FaceDetector, align: AlignSpec, limit: int, own: Sequence[str] = ()
) -> CalibrationFaces:
    """The largest face of each photo below a folder; subfolders named as an emotion, or one of ``own``, give labels.

    Raises:
        DataError: no photos, or too few faces.
    """
    files = photo_files(folder) if folder.is_dir() else []
    if not files:
        raise DataError(
            f"calibration {folder}: no photos there; expected a folder of .jpg or .png files with faces, "
            "or leave CALIB out to use the shipped ranges"
        )
    known = {meant(name): name for name in (*LABEL_SYNONYMS.values(), *own)}
    crops: list[NDArray[np.uint8]] = []
    origins: list[str] = []
    labels: list[str | None] = []
    n_unreadable = n_without_face = n_photos = 0
    for path in tqdm(files, unit="photo", desc="faces", disable=None, leave=False):
        if len(crops) == limit:
            break
        n_photos += 1
        try:
            image = read_photo(path).image
        except ImageError:
            n_unreadable += 1
            continue
        face = largest_face(detector, image)
        if face is None:
            n_without_face += 1
            continue
        crops.append(crop_face(image, face.landmarks, align))
        origins.append(str(path.relative_to(folder)))
        labels.append(known.get(meant(path.parent.name)))
    report = lint(
        crops,
        labels,
        n_photos=n_photos,
        n_unreadable=n_unreadable,
        n_without_face=n_without_face,
        source=str(folder),
    )
    return CalibrationFaces(crops, origins, labels, report)
