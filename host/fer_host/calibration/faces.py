"""Faces for calibration: rows of FER2013, or a user's photos through the device's own detector and crop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fer_edge.contract.labels import EMOTIONS8
from fer_edge.contract.manifest import AlignSpec
from fer_host.artifacts import sha256_bytes
from fer_host.calibration.lint import LintReport, lint
from fer_host.data import fer2013
from fer_host.data.labels import LABEL_SYNONYMS
from fer_host.device_pipeline import FaceDetector, ImageError, crop_face, largest_face, photo_files, read_photo
from fer_host.errors import DataError


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


def faces_from_npz(path: Path, n: int, seed: int, balanced: bool = True) -> CalibrationFaces:
    """``n`` faces from FER2013's Training rows, spread over the eight labels as evenly as they go."""
    rows = fer2013.load(path)
    rows = rows.select((rows.usage == "Training") & (rows.label8 >= 0))
    order = np.random.default_rng(seed).permutation(len(rows))
    if balanced:
        label = rows.label8[order]
        turn = np.array([np.sum(label[:i] == label[i]) for i in range(min(len(order), 40 * n))])
        order = order[: len(turn)][np.argsort(turn, kind="stable")]
    picked = order[:n]
    crops = [rows.images[i] for i in picked]
    labels: list[str | None] = [EMOTIONS8[rows.label8[i]] for i in picked]
    report = lint(crops, labels, n_photos=len(crops), n_unreadable=0, n_without_face=0, source=str(path))
    return CalibrationFaces(crops, [f"Training image {i}" for i in picked], labels, report)


def faces_from_folder(folder: Path, detector: FaceDetector, align: AlignSpec, limit: int) -> CalibrationFaces:
    """The largest face of each photo below a folder; subfolders named as an emotion give labels.

    Raises:
        DataError: no photos, or too few faces.
    """
    files = photo_files(folder) if folder.is_dir() else []
    if not files:
        raise DataError(
            f"calibration {folder}: no photos there; expected a folder of .jpg or .png files with faces, "
            "or leave CALIB out to use the shipped ranges"
        )
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
        labels.append(LABEL_SYNONYMS.get(path.parent.name.lower()))
    report = lint(
        crops,
        labels,
        n_photos=n_photos,
        n_unreadable=n_unreadable,
        n_without_face=n_without_face,
        source=str(folder),
    )
    return CalibrationFaces(crops, origins, labels, report)
