"""``fer-host evaluate``: a bundle's accuracy through the device's own preprocess and interpreter."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fer_edge.contract.answer import answer
from fer_edge.contract.bundle import Bundle
from fer_edge.contract.evaluate import EvaluateDoc, WithoutDuplicates
from fer_edge.contract.labels import LABEL_SETS, PROTOCOLS
from fer_edge.contract.manifest import Variant
from fer_edge.contract.preprocess import preprocess
from fer_edge.contract.specs import AlignSpec
from fer_host.data.damage import name_unreadable
from fer_host.data.faces import ALL, TRAINING, FaceData, FaceRows, describe
from fer_host.data.load import open_data
from fer_host.data.occlude import Part, occlude
from fer_host.data.shards import check_cut
from fer_host.data.unread import Unread
from fer_host.detector.cut import cut_of
from fer_host.device_pipeline import ImageError, face_cropper, make_detector, open_runner
from fer_host.errors import DataError
from fer_host.evaluate.crops import StreamedCrops, changed, each, some
from fer_host.evaluate.judged import Judged
from fer_host.evaluate.metrics import drop_label, how_sure, score
from fer_host.evaluate.ten_crop import N_CROPS, ten_crops


@dataclass(frozen=True)
class LabelledCrops:
    """Crops with labels in the order of a label set; ``n_dropped`` rows had no label in it (or no face).

    ``images`` are the pictures' names, as ``Judged`` has them.
    """

    crops: Sequence[NDArray[np.uint8]]
    labels: NDArray[np.int64]
    duplicate: NDArray[np.bool_]
    n_dropped: int
    source: str
    images: tuple[str, ...]


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
    occluded: Part | None = None,
    ten_crop: bool = False,
    threads: int = 1,
    keep: Callable[[Judged], None] | None = None,
) -> EvaluateDoc:
    """Scores one variant of a bundle.

    Args:
        bundle: a bundle with eight emotions, the seven of ``fer7``, or both.
        data: FER2013's npz, or any data set that ``open_data`` recognizes. Photos that are no crops go through the
            bundle's detector and crop unless ``crops_as_is``.
        labels: the protocol: "ferplus8", "ferplus8_majority" (only rows on which more than half of the crowd agreed),
            "fer7", or "own" for labels of the user's own, which the bundle names. A bundle that answers in the
            protocol's own label set is asked in it.
        usage: a split of the set; None takes every row that is not Training.
        variant_id: None takes the bundle's default variant.
        per_class: draw this many of each class (seeded), as the thesis' app test does.
        seed: of that draw.
        crops_as_is: the pictures are face crops already.
        occluded: part of every face that goes behind a gray bar.
        ten_crop: average the probabilities of ten crops of each face, as some papers do; a device looks once.
        threads: of the interpreter.
        keep: called with every picture and its answer.

    Raises:
        DataError: no row is left, or the label set does not fit the bundle.
    """
    label_set = PROTOCOLS.get(labels, labels)
    names = label_names(bundle, labels)
    if label_set in {each.id for each in bundle.manifest.sets}:
        bundle = bundle.answering_in(label_set)
    manifest = bundle.manifest
    variant = manifest.variant(variant_id)
    if not set(names) <= set(manifest.labels):
        lacking = ", ".join(sorted(set(names) - set(manifest.labels)))
        raise DataError(f"labels {labels}: the bundle has no output for {lacking}; it has {', '.join(manifest.labels)}")
    rows = _labelled(bundle, data, labels, usage, crops_as_is)
    if per_class is not None:
        rows = _balanced(rows, per_class, seed, names)
    if occluded is not None:
        hide = partial(_occluded, manifest.align, occluded)
        rows = dataclasses.replace(rows, crops=changed(rows.crops, hide))
    outputs = predict(bundle, variant, rows.crops, threads, ten_crop)
    if (unread := np.isnan(outputs).all(axis=1)).any():
        outputs, rows = outputs[~unread], _kept(rows, np.flatnonzero(~unread))
        if not len(rows.labels):
            raise DataError(f"data {data}: none of {len(unread)} pictures can be read; expected some to score")
        print(f"data {data}: {unread.sum()} of {len(unread)} pictures cannot be read: left out", file=sys.stderr)
    for i in sorted((manifest.labels.index(name) for name in set(manifest.labels) - set(names)), reverse=True):
        outputs = drop_label(outputs, i)
    kept = [name for name in manifest.labels if name in names]
    outputs = outputs[:, [kept.index(name) for name in names]]
    scores = score(outputs, rows.labels)
    if keep is not None:
        keep(Judged(tuple(names), rows.images, rows.crops, rows.labels, outputs))
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
        occluded=occluded,
        views=N_CROPS if ten_crop else None,
        sure=how_sure(outputs.max(axis=1), outputs.argmax(axis=1) == rows.labels),
        names=tuple(names) if labels == "own" else None,
    )


def predict(
    bundle: Bundle, variant: Variant, crops: Sequence[NDArray[np.uint8]], threads: int = 1, ten_crop: bool = False
) -> NDArray[np.float32]:
    """Probabilities (n, labels) in the bundle's label order for crops (h, w) or (h, w, 3).

    NaN for a crop that cannot be read. Crops that stream are decoded ahead by worker processes.
    """
    runner = open_runner(bundle.read(variant.file), variant, threads)
    spec, labels = bundle.manifest.input, bundle.manifest.label_set()
    rows = []
    for crop in tqdm(each(crops), total=len(crops), unit="face", desc=variant.id, disable=None, leave=False):
        if crop is None:
            rows.append(np.full(len(labels.labels), np.nan, dtype=np.float32))
            continue
        views = ten_crops(crop) if ten_crop else crop[None]
        logits = [runner(preprocess(view, spec, variant.input_hw)[None])[0] for view in views]
        rows.append(answer(np.stack(logits), labels).mean(axis=0))
    return np.stack(rows)


def _labelled(bundle: Bundle, path: Path, labels: str, usage: str | None, crops_as_is: bool) -> LabelledCrops:
    """The rows of a split that have a label of this set, and a face."""
    data = open_data(path, label_names(bundle, labels) if labels == "own" else ())
    known = sorted(set(data.usage.tolist()))
    if usage is not None and usage not in known:
        raise DataError(f"usage {usage!r}: not in {path}; expected one of {', '.join(known)}")
    split = data.select(_mask(data, usage))
    rows = split.select(split.labels(labels) >= 0)
    if not len(rows):
        raise DataError(
            f"data {path}: {data.source} has no row with a label of {labels} in {usage or 'any split but Training'}; "
            f"expected some: choose other --labels or another --usage ({', '.join(known)})"
        )
    crops: Sequence[NDArray[np.uint8]] = list(rows.images) if isinstance(rows, FaceData) else []
    indices = np.flatnonzero(_mask(data, usage) & (data.labels(labels) >= 0))
    images = tuple(f"row {i}" for i in indices)
    if isinstance(rows, Unread):
        check_cut(rows, cut_of(bundle.manifest.detector.id, bundle.manifest.align), "the bundle")
        print(f"data {path}: taken for {describe(data)}", file=sys.stderr)
        if known == [ALL]:
            print(
                f"data {path}: published without a split; if the bundle was trained on this set, it has seen these "
                f"rows, and this is no test: `fer-host kfold RECIPE --data {path}` tests on folds it has not seen",
                file=sys.stderr,
            )
        rows, crops = _opened(rows, bundle, crops_as_is)
        images = rows.named(path if path.is_dir() else path.parent)
    source = str(path) if path.is_dir() else usage or "not Training"
    return LabelledCrops(crops, rows.labels(labels), rows.duplicate, len(split) - len(rows), source, images)


def label_names(bundle: Bundle, labels: str) -> tuple[str, ...]:
    """The labels that a protocol scores, in order."""
    return bundle.manifest.labels if labels == "own" else LABEL_SETS[PROTOCOLS[labels]]


def _mask(data: FaceRows, usage: str | None) -> NDArray[np.bool_]:
    return np.asarray(data.usage == usage if usage else data.usage != TRAINING)


def _occluded(align: AlignSpec, part: Part, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return occlude(crop, align, part)


def _opened(rows: Unread, bundle: Bundle, crops_as_is: bool) -> tuple[Unread, Sequence[NDArray[np.uint8]]]:
    """The rows in which there is a face, and the faces, in the pictures' own size where they are crops."""
    manifest = bundle.manifest
    if rows.framing == "crops" or crops_as_is:
        return rows, StreamedCrops(rows, np.arange(len(rows), dtype=np.int64))
    crop = face_cropper(make_detector(manifest.detector, bundle.read), manifest.align)
    kept: list[int] = []
    faces: list[NDArray[np.uint8]] = []
    for i in tqdm(range(len(rows)), unit="photo", disable=None, leave=False):
        try:
            face = rows.opened(i, crop)
        except ImageError as error:
            name_unreadable([str(error)], "left out")
            continue
        if face is not None:
            kept.append(i)
            faces.append(face)
    if not kept:
        raise DataError(f"data: no face found in {len(rows)} photos of {rows.source}; expected faces, or use --crops")
    return rows.select(np.array(kept, dtype=np.int64)), faces


def _balanced(rows: LabelledCrops, per_class: int, seed: int, names: Sequence[str]) -> LabelledCrops:
    """As many rows of each class, drawn; a line on stderr says which classes of the label set have fewer."""
    counts = np.bincount(rows.labels, minlength=len(names))
    short = [f"{name} {n}" for name, n in zip(names, counts, strict=True) if n < per_class]
    if short:
        print(f"--per-class {per_class}: not balanced, there are fewer of {', '.join(short)}", file=sys.stderr)
    random = np.random.default_rng(seed)
    picked: list[int] = []
    for label in np.unique(rows.labels):
        members = np.flatnonzero(rows.labels == label)
        picked += random.permutation(members)[:per_class].tolist()
    keep = np.array(sorted(picked), dtype=np.int64)
    return _kept(rows, keep)


def _kept(rows: LabelledCrops, keep: NDArray[np.int64]) -> LabelledCrops:
    n_dropped = rows.n_dropped + len(rows.labels) - len(keep)
    crops, images = some(rows.crops, keep), tuple(rows.images[i] for i in keep)
    return LabelledCrops(crops, rows.labels[keep], rows.duplicate[keep], n_dropped, rows.source, images)


def format_table(document: EvaluateDoc) -> str:
    """The document for the terminal."""
    names = document.names or LABEL_SETS[PROTOCOLS[document.labels]]
    lines = [
        f"{document.variant} on {document.data} ({document.labels}): "
        f"accuracy {document.accuracy:.2%} of n = {document.n} ({document.n_dropped} dropped), "
        f"macro-F1 {document.macro_f1:.3f}, ECE {document.ece:.3f}",
    ]
    if document.occluded is not None:
        lines.append(f"a gray bar covers the {document.occluded} of every face")
    if document.views is not None:
        lines.append(f"mean of {document.views} crops of each face; a device looks once")
    fresh = document.without_duplicates
    if fresh is not None and fresh.n != document.n:
        lines.append(f"without images that are pixel-identical to a training image: {fresh.accuracy:.2%} of {fresh.n}")
    sure = document.sure
    if sure is not None:
        lines.append(
            f"{sure.share:.1%} of the answers reach {sure.threshold:g} and are not marked uncertain; of these "
            f"{sure.accuracy:.1%} are right, of the surest 80% {sure.surest_80:.1%}"
        )
    lines.append(f"{'true':>10}  recall  " + " ".join(f"{name[:8]:>8}" for name in names))
    for name, row in zip(names, document.confusion, strict=True):
        recall = f"{document.recall[name]:6.1%}" if name in document.recall else "     -"
        lines.append(f"{name:>10}  {recall}  " + " ".join(f"{count:8d}" for count in row))
    return "\n".join(lines) + "\n"
