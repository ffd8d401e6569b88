"""``fer-host evaluate``: a bundle's accuracy through the device's own preprocess and interpreter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fer_edge.contract.bundle import Bundle
from fer_edge.contract.evaluate import EvaluateDoc, WithoutDuplicates
from fer_edge.contract.labels import LABEL_SETS
from fer_edge.contract.manifest import Variant
from fer_edge.contract.preprocess import preprocess, softmax
from fer_host.data import fer2013
from fer_host.data.labels import LABEL_SYNONYMS
from fer_host.device_pipeline import LiteRunner, crop_face, largest_face, make_detector, photo_files, read_photo
from fer_host.errors import DataError
from fer_host.train.metrics import drop_label, score


@dataclass(frozen=True)
class LabelledCrops:
    """Crops with labels in the order of a label set; ``n_dropped`` rows had no label in it (or no face)."""

    crops: list[NDArray[np.uint8]]
    labels: NDArray[np.int64]
    duplicate: NDArray[np.bool_]
    n_dropped: int
    source: str


def evaluate(
    bundle: Bundle,
    data: Path,
    labels: str,
    *,
    usage: str | None = None,
    variant_id: str | None = None,
    per_class: int | None = None,
    seed: int = 1,
    crops_as_is: bool = False,
    threads: int = 1,
) -> EvaluateDoc:
    """Scores one variant of a bundle.

    Args:
        bundle: a bundle with eight emotions, or the seven of ``fer7``.
        data: FER2013's npz (its images are crops, no detector runs), or a folder with one subfolder a label, whose
            photos go through the bundle's detector and crop unless ``crops_as_is``.
        labels: "ferplus8" or "fer7".
        usage: the npz's split; None takes every row that is not Training.
        variant_id: None takes the bundle's default variant.
        per_class: draw this many of each class (seeded), as the thesis' app test does.
        seed: of that draw.
        crops_as_is: the folder holds face crops already.
        threads: of the interpreter.

    Raises:
        DataError: no row is left, or the label set does not fit the bundle.
    """
    manifest = bundle.manifest
    variant = manifest.variant(variant_id)
    names = LABEL_SETS[labels]
    if not set(names) <= set(manifest.labels):
        lacking = ", ".join(sorted(set(names) - set(manifest.labels)))
        raise DataError(f"labels {labels}: the bundle has no output for {lacking}; it has {', '.join(manifest.labels)}")
    rows = _from_folder(bundle, data, names, crops_as_is) if data.is_dir() else _from_npz(data, labels, usage)
    if per_class is not None:
        rows = _balanced(rows, per_class, seed)
    if not len(rows.labels):
        raise DataError(f"data {data}: no row with a label of {labels} is left; {rows.n_dropped} rows were dropped")
    outputs = predict(bundle, variant, rows.crops, threads)
    for i in sorted((manifest.labels.index(name) for name in set(manifest.labels) - set(names)), reverse=True):
        outputs = drop_label(outputs, i)
    kept = [name for name in manifest.labels if name in names]
    outputs = outputs[:, [kept.index(name) for name in names]]
    scores = score(outputs, rows.labels)
    fresh = ~rows.duplicate
    return EvaluateDoc(
        variant=variant.id,
        labels=labels,
        n=scores.n,
        n_dropped=rows.n_dropped,
        accuracy=round(scores.accuracy, 6),
        macro_f1=round(scores.macro_f1, 6),
        recall={names[i]: round(value, 6) for i, value in enumerate(scores.recall) if scores.confusion[i].any()},
        confusion=tuple(tuple(int(count) for count in row) for row in scores.confusion),
        ece=round(scores.ece, 6),
        without_duplicates=WithoutDuplicates(
            round(float((outputs[fresh].argmax(axis=1) == rows.labels[fresh]).mean()), 6), int(fresh.sum())
        )
        if fresh.any() and not data.is_dir()
        else None,
        data=rows.source,
        usage=usage,
    )


def predict(bundle: Bundle, variant: Variant, crops: list[NDArray[np.uint8]], threads: int = 1) -> NDArray[np.float32]:
    """Probabilities (n, labels) in the bundle's label order for crops (h, w) or (h, w, 3)."""
    runner = LiteRunner(bundle.read(variant.file), variant, threads=threads)
    spec = bundle.manifest.input
    rows = [
        runner(preprocess(crop, spec, variant.input_hw)[None])[0]
        for crop in tqdm(crops, unit="face", desc=variant.id, disable=None, leave=False)
    ]
    return softmax(np.stack(rows))


def _from_npz(path: Path, labels: str, usage: str | None) -> LabelledCrops:
    data = fer2013.load(path)
    known = sorted(set(data.usage.tolist()))
    if usage is not None and usage not in known:
        raise DataError(f"usage {usage!r}: not in {path}; expected one of {', '.join(known)}")
    rows = data.select(data.usage == usage if usage else data.usage != "Training")
    truth = rows.label8 if labels == "ferplus8" else rows.label7
    kept = truth >= 0
    return LabelledCrops(
        list(rows.images[kept]), truth[kept], rows.duplicate[kept], int((~kept).sum()), usage or "not Training"
    )


def _from_folder(bundle: Bundle, folder: Path, names: tuple[str, ...], crops_as_is: bool) -> LabelledCrops:
    groups = {path: LABEL_SYNONYMS.get(path.name.lower()) for path in sorted(folder.iterdir()) if path.is_dir()}
    named = {path: name for path, name in groups.items() if name in names}
    if not named:
        found = ", ".join(path.name for path in groups) or "none"
        raise DataError(f"data {folder}: found subfolders {found}; expected one a label: {', '.join(names)}")
    manifest = bundle.manifest
    detector = make_detector(manifest.detector, bundle.read)
    crops, labels, dropped = [], [], 0
    files = [(path, names.index(str(name))) for group, name in named.items() for path in photo_files(group)]
    for path, label in tqdm(files, unit="photo", disable=None, leave=False):
        image = read_photo(path).image
        if not crops_as_is:
            face = largest_face(detector, image)
            if face is None:
                dropped += 1
                continue
            image = crop_face(image, face.landmarks, manifest.align)
        crops.append(image)
        labels.append(label)
    truth = np.array(labels, dtype=np.int64)
    return LabelledCrops(crops, truth, np.zeros(len(truth), dtype=bool), dropped, str(folder))


def _balanced(rows: LabelledCrops, per_class: int, seed: int) -> LabelledCrops:
    random = np.random.default_rng(seed)
    picked: list[int] = []
    for label in np.unique(rows.labels):
        members = np.flatnonzero(rows.labels == label)
        picked += random.permutation(members)[:per_class].tolist()
    keep = np.array(sorted(picked), dtype=np.int64)
    n_dropped = rows.n_dropped + len(rows.labels) - len(keep)
    return LabelledCrops([rows.crops[i] for i in keep], rows.labels[keep], rows.duplicate[keep], n_dropped, rows.source)


def format_table(document: EvaluateDoc) -> str:
    """The document for the terminal."""
    names = LABEL_SETS[document.labels]
    lines = [
        f"{document.variant} on {document.data} ({document.labels}): "
        f"accuracy {document.accuracy:.2%} of n = {document.n} ({document.n_dropped} dropped), "
        f"macro-F1 {document.macro_f1:.3f}, ECE {document.ece:.3f}",
    ]
    fresh = document.without_duplicates
    if fresh is not None and fresh.n != document.n:
        lines.append(f"without images that are pixel-identical to a training image: {fresh.accuracy:.2%} of {fresh.n}")
    lines.append(f"{'true':>10}  recall  " + " ".join(f"{name[:8]:>8}" for name in names))
    for name, row in zip(names, document.confusion, strict=True):
        recall = f"{document.recall[name]:6.1%}" if name in document.recall else "     -"
        lines.append(f"{name:>10}  {recall}  " + " ".join(f"{count:8d}" for count in row))
    return "\n".join(lines) + "\n"
