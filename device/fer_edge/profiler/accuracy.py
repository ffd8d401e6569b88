"""``bench --accuracy``: how often this file, with this machine's kernels, says what people said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_edge.classifier.crop import crop_face
from fer_edge.classifier.runner import open_runner
from fer_edge.contract.arrays import ArraySpec, read_arrays
from fer_edge.contract.bench import Accuracy
from fer_edge.contract.bounds import DATA_ARRAY_BYTES as _LARGEST_BYTES
from fer_edge.contract.labels import EMOTIONS8
from fer_edge.contract.preprocess import preprocess
from fer_edge.detectors import PHOTO_TILES, make_detector
from fer_edge.errors import ImageError, SchemaError, UsageError
from fer_edge.pictures.formats import SUFFIXES
from fer_edge.pictures.photo import read_photo
from fer_edge.profiler.workloads import Subject

_ARRAYS = {  # those of FER2013's npz that this needs; n images of h x w px
    "images": ArraySpec("image", ("n", "h", "w")),
    "ferplus_votes": ArraySpec("number", ("n", "columns")),
    "ferplus_classes": ArraySpec("text", ("columns",)),
    "usage": ArraySpec("text", ("n",)),
}


class Labelled(NamedTuple):
    """Face crops with the name of what they show, and how many rows had none, or no face."""

    crops: list[NDArray[np.uint8]]
    names: list[str]
    n_dropped: int
    labels: str


def measure_accuracy(subject: Subject, data: Path, limit: int | None = None) -> Accuracy:
    """Accuracy over a data set.

    Args:
        subject: the bundle, variant and threads.
        data: FER2013's npz (rows that are not Training, FERPlus majority labels), or a folder with one folder of photos
            a label, named as the bundle names it.
        limit: take only so many rows, spread evenly.

    Raises:
        UsageError: not such data, or nothing with a label in it.
    """
    manifest = subject.bundle.manifest
    rows = _folders(subject, data) if data.is_dir() else _npz(data)
    known = [i for i, name in enumerate(rows.names) if name in manifest.labels]
    if not known:
        raise UsageError(f"{data}: no face with a label of this bundle; expected {', '.join(manifest.labels)}")
    if limit is not None and limit < len(known):
        known = [known[round(i * (len(known) - 1) / max(1, limit - 1))] for i in range(limit)]
    variant = manifest.variant(subject.setting.variant)
    runner = open_runner(subject.bundle.read(variant.file), variant, subject.setting.threads, subject.setting.provider)
    hits, (first, end) = 0, manifest.label_set().slice
    for i in known:
        logits = runner(preprocess(rows.crops[i], manifest.input, variant.input_hw)[None])[0]
        hits += manifest.labels[int(np.argmax(logits[first:end]))] == rows.names[i]
    n_dropped = rows.n_dropped + (len(rows.names) - len(known) if limit is None else 0)
    return Accuracy(data.name, rows.labels, len(known), n_dropped, round(hits / len(known), 6))


def _npz(path: Path) -> Labelled:
    try:
        arrays = read_arrays(path, _ARRAYS, largest_bytes=_LARGEST_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); expected an npz, or a folder") from error
    except SchemaError as error:
        raise UsageError(f"{path}: {error}; expected FER2013's npz, or a folder") from error
    images, votes, classes, usage = (arrays[key] for key in _ARRAYS)
    rows = np.flatnonzero(usage.astype(str) != "Training")
    names = [str(classes[i]) for i in votes[rows].argmax(axis=1)]  # the first column wins ties
    kept = [(images[row], name) for row, name in zip(rows, names, strict=True) if name in EMOTIONS8]
    return Labelled([image for image, _ in kept], [name for _, name in kept], len(rows) - len(kept), "ferplus8")


def _folders(subject: Subject, folder: Path) -> Labelled:
    manifest = subject.bundle.manifest
    detector = make_detector(manifest.detector, subject.bundle.read, PHOTO_TILES, subject.setting.threads)
    crops: list[NDArray[np.uint8]] = []
    names: list[str] = []
    n_dropped = 0
    for path, name in _photos(folder, manifest.labels):
        try:
            image = read_photo(path).image
        except ImageError:
            n_dropped += 1
            continue
        faces = detector.detect(image)
        if not faces:
            n_dropped += 1
            continue
        largest = max(faces, key=lambda face: face.box[2] * face.box[3])
        crops.append(crop_face(image, largest.landmarks, manifest.align))
        names.append(name)
    return Labelled(crops, names, n_dropped, "folders")


def _photos(folder: Path, labels: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    for name in labels:
        for path in sorted((folder / name).rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                yield path, name
