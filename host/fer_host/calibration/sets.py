"""Calibration sets and their ranges on disk: ``calibration/sets/NAME.json`` and ``calibration/ranges/``."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract import codec
from fer_edge.contract.preprocess import preprocess
from fer_host.calibration.faces import CalibrationFaces, faces_from_folder, faces_from_npz, faces_from_rows
from fer_host.calibration.lint import LintReport
from fer_host.data.faces import FaceData
from fer_host.detector.networks import load_detector_model
from fer_host.errors import DataError
from fer_host.files.artifacts import write_bytes
from fer_host.files.paths import CALIBRATION_RANGES, CALIBRATION_SETS, TUNED
from fer_host.quantize.shipped import model_of
from fer_host.recipe.recipe import Recipe, load_recipe
from fer_host.tflite import ranges as ranges_format
from fer_host.tflite.ranges import ActivationRanges, collect_ranges

SCHEMA = "fer-edge/calibration-set/1"
_BESIDE, _OF_SHIPPED = ".ranges.json", "mixed."  # names of tuned weights' ranges; see ranges_of_tuned


@dataclass(frozen=True)
class SetItem:
    """One face of a set: which picture it was, never the picture."""

    sha256: str
    origin: str
    label: str | None = None


@dataclass(frozen=True)
class CalibrationSet:
    """What a set holds and under which terms its pictures come; the pictures themselves are not in the project."""

    name: str
    source: str
    license: str
    lint: LintReport
    items: tuple[SetItem, ...]


def make_set(
    name: str,
    data: Path,
    model: str,
    *,
    weights: Path | None,
    n: int,
    seed: int,
    source: str,
    license_name: str,
) -> tuple[Path, Path]:
    """``fer-host calibrate``: lints faces, records them and measures a recipe's activation ranges on them.

    Args:
        name: of the set.
        data: FER2013's npz or a folder of photos.
        model: the recipe whose ranges are measured.
        weights: the user's own weights, None for the shipped ones.
        n: faces at most.
        seed: of the draw from the npz.
        source: where the faces come from, for the record.
        license_name: their terms, for the record; this and ``source`` stay as they were where they are empty and the
            set has the same faces.

    Returns:
        The set's file and the ranges' file.

    Raises:
        DataError: the set is not fit to calibrate with.
    """
    from fer_host.pipeline import float_network

    recipe = load_recipe(model)
    faces = load_faces(data, recipe, n, seed)
    _say_warnings(faces)
    float_tflite, digest = float_network(recipe, weights)
    measured = ranges_of(faces, recipe, float_tflite, digest, name)
    set_path, ranges_path = CALIBRATION_SETS / f"{name}.json", path_of_ranges(recipe, name)
    known = codec.loads(SCHEMA, CalibrationSet, set_path.read_bytes()) if set_path.is_file() else None
    record = set_record(name, faces, known, source, license_name, default_source=str(data))
    write_bytes(set_path, codec.dumps(SCHEMA, record).encode())
    ranges_format.save(measured, ranges_path)
    print(f"{len(faces.crops)} faces: {set_path}, {ranges_path}")
    return set_path, ranges_path


def set_record(
    name: str,
    faces: CalibrationFaces,
    known: CalibrationSet | None,
    source: str,
    license_name: str,
    default_source: str,
) -> CalibrationSet:
    """What is written down of a set; the same faces again keep the source and licence that were known of them."""
    items = tuple(SetItem(*item) for item in zip(faces.hashes(), faces.origins, faces.labels, strict=True))
    if known is not None and known.items == items:
        source, license_name = source or known.source, license_name or known.license
    return CalibrationSet(name, source or default_source, license_name or "unknown", faces.report, items)


def load_faces(data: Path, recipe: Recipe, n: int, seed: int) -> CalibrationFaces:
    """Faces of the npz, or of a folder of photos through the device's own detector and crop."""
    if data.suffix == ".npz":
        return faces_from_npz(data, n, seed)
    return faces_from_folder(data, load_detector_model(recipe.detector), recipe.align, n)


def inputs_of(crops: Iterable[NDArray[np.uint8]], recipe: Recipe) -> Iterator[NDArray[np.float32]]:
    """Each crop as the network's input (H, W, 3)."""
    return (preprocess(crop, recipe.input, recipe.input_hw) for crop in crops)


def path_of_ranges(recipe: Recipe, set_name: str) -> Path:
    """``ranges/<recipe>.json`` for the recipe's own set, ``ranges/<recipe>.<set>.json`` for another."""
    own = set_name == recipe.convert.calibration_set
    return CALIBRATION_RANGES / (f"{recipe.id}.json" if own else f"{recipe.id}.{set_name}.json")


def _is_set(name: str | None) -> bool:
    return (CALIBRATION_SETS / f"{name}.json").is_file()


def ranges_of_tuned(tuned: Path) -> Path:
    """The ranges of tuned weights: ``ranges/mixed.<tuned>.json`` of those that ship, else beside the weights' file."""
    if _ships(tuned):
        return CALIBRATION_RANGES / f"{_OF_SHIPPED}{tuned.stem}.json"
    return tuned.with_name(tuned.name + _BESIDE)


def _ships(tuned: Path) -> bool:
    return tuned.resolve().parent == TUNED.resolve()


def _tuned_of(ranges: Path) -> Path:
    """The tuned weights that ``ranges_of_tuned`` gave this place for."""
    if ranges.name.endswith(_BESIDE):
        return ranges.with_name(ranges.name.removesuffix(_BESIDE))
    return TUNED / f"{ranges.stem.removeprefix(_OF_SHIPPED)}.safetensors"


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
    _say_warnings(faces)
    return faces


def _say_warnings(faces: CalibrationFaces) -> None:
    for line in faces.report.warnings:
        print(f"  calibration note: {line}")


def calibrate_tuned(recipe: Recipe, tuned: Path, data: Path, n: int = 256, seed: int = 1) -> Path:
    """``fer-host calibrate --tuned``: measures the ranges of tuned weights; see ``training_faces``."""
    from fer_host.train.run import training_data

    return measure_tuned(recipe, tuned, training_faces(recipe, training_data(recipe, data), str(data), n, seed))


def measure_tuned(recipe: Recipe, tuned: Path, faces: CalibrationFaces) -> Path:
    """Measures the ranges of tuned weights on these faces, and writes them to ``ranges_of_tuned``."""
    from fer_host.pipeline import tuned_float_network

    float_tflite, digest = tuned_float_network(recipe, tuned)
    own = recipe.convert.calibration_set
    name = own if _holds(own, faces) else None
    path = ranges_of_tuned(tuned)
    ranges_format.save(ranges_of(faces, recipe, float_tflite, digest, name), path)
    return path


def _holds(name: str, faces: CalibrationFaces) -> bool:
    """Whether the set of this name has exactly these faces."""
    path = CALIBRATION_SETS / f"{name}.json"
    if not path.is_file():
        return False
    return [item.sha256 for item in codec.loads(SCHEMA, CalibrationSet, path.read_bytes()).items] == faces.hashes()


def open_calibration(
    calib: str | None, recipe: Recipe, weights_sha256: str, quiet: bool = False, own: Path | None = None
) -> ActivationRanges | CalibrationFaces:
    """What int8 is calibrated with: shipped ranges, or the user's faces; refused before anything is converted.

    Args:
        calib: a folder of photos, the name of a set with shipped ranges, or None for the recipe's own set.
        recipe: what is being converted.
        weights_sha256: digest of its weights.
        quiet: do not print what is odd about the faces.
        own: of tuned weights, the ranges to take where ``calib`` is no folder, by ``ranges_of_tuned``: they have one
            set only; None: the recipe's.

    Raises:
        DataError: no such folder or set, faces that are not fit to calibrate with, or ranges of other weights.
    """
    if calib is None or not Path(calib).exists():
        if own is not None and calib not in (None, recipe.convert.calibration_set) and not _is_set(calib):
            raise DataError(f"calibration {calib}: found neither a folder nor a set of that name; expected one of them")
        if own is not None:
            return _ranges_of_these(own, recipe, weights_sha256)
        path = path_of_ranges(recipe, calib or recipe.convert.calibration_set)
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in CALIBRATION_SETS.glob("*.json"))) or "none"
            raise DataError(
                f"calibration {calib or recipe.convert.calibration_set}: found neither a folder nor ranges of that "
                f"name; expected a folder of photos or one of the sets {known}; `fer-host calibrate` makes one"
            )
        shipped = ranges_format.load(path)
        ranges_format.check_weights(shipped, weights_sha256)
        return shipped
    faces = load_faces(Path(calib), recipe, 512, seed=1)
    if not quiet:
        _say_warnings(faces)
    return faces


def _ranges_of_these(path: Path, recipe: Recipe, weights_sha256: str) -> ActivationRanges:
    """The ranges of tuned weights, refused where they are absent or of another tuning."""
    tuned = _tuned_of(path)
    remedy = (
        f"`fer-host calibrate tuned --tuned {shlex.quote(str(tuned))} --model {model_of(recipe)} --data FER2013.npz` "
        "measures them, or give photos with CALIB=FOLDER"
    )
    if not path.is_file():
        raise DataError(f"tuned weights {tuned}: found no activation ranges, expected them in {path}; {remedy}")
    found = ranges_format.load(path)
    if found.weights_sha256 != weights_sha256:
        raise DataError(
            f"activation ranges {path}: they belong to other weights than {tuned} "
            f"(found {found.weights_sha256[:12]}…, expected {weights_sha256[:12]}…); {remedy}"
        )
    return found


def ranges_on(
    calibration: ActivationRanges | CalibrationFaces, recipe: Recipe, float_tflite: Path, weights_sha256: str
) -> ActivationRanges:
    """The ranges themselves: as shipped, or observed on the faces by the float network."""
    if isinstance(calibration, ActivationRanges):
        return calibration
    return ranges_of(calibration, recipe, float_tflite, weights_sha256)


def ranges_of(
    faces: CalibrationFaces, recipe: Recipe, float_tflite: Path, weights_sha256: str, name: str | None = None
) -> ActivationRanges:
    """Observed on the faces by the float network and summarized as the recipe says; ``name``: of their set."""
    percentile = recipe.convert.calibration_percentile
    return collect_ranges(
        float_tflite,
        (row[None] for row in inputs_of(faces.crops, recipe)),
        weights_sha256=weights_sha256,
        method="minmax" if percentile == 100 else "percentile",
        percentile=percentile,
        calibration_set=name,
    )
