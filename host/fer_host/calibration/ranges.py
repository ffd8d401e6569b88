"""The ranges that int8 is calibrated with: from the file that ships them, or observed on faces; or refused."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.preprocess import preprocess
from fer_host.calibration.faces import CalibrationFaces, load_faces
from fer_host.calibration.sets import is_set, set_names
from fer_host.errors import DataError
from fer_host.files.paths import CALIBRATION_RANGES, TUNED
from fer_host.recipe.recipe import Recipe, model_of
from fer_host.tflite import ranges as ranges_format
from fer_host.tflite.ranges import ActivationRanges, collect_ranges

_BESIDE, _OF_SHIPPED = ".ranges.json", "mixed."  # names of tuned weights' ranges; see ranges_of_tuned


def path_of_ranges(recipe: Recipe, set_name: str) -> Path:
    """``ranges/<recipe>.json`` for the recipe's own set, ``ranges/<recipe>.<set>.json`` for another.

    Of a recipe of the user's own they lie beside it.
    """
    own = set_name == recipe.convert.calibration_set
    if recipe.folder is not None:
        return recipe.folder / f"{recipe.id}.{set_name}{_BESIDE}"
    return CALIBRATION_RANGES / (f"{recipe.id}.json" if own else f"{recipe.id}.{set_name}.json")


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
        if own is not None and calib not in (None, recipe.convert.calibration_set) and not is_set(calib):
            raise DataError(f"calibration {calib}: found neither a folder nor a set of that name; expected one of them")
        if own is not None:
            return _ranges_of_these(own, recipe, weights_sha256)
        wanted = calib or recipe.convert.calibration_set
        if not wanted:
            raise DataError(
                f"calibration: {recipe.id} ships no activation ranges; expected --calib FOLDER (CALIB= of make) with "
                "photos of faces such as it will see, 100 or more, or --variant dynamic, which needs none"
            )
        path = path_of_ranges(recipe, wanted)
        if not path.is_file():
            known = ", ".join(set_names()) or "none"
            raise DataError(
                f"calibration {calib or recipe.convert.calibration_set}: found neither a folder nor ranges of that "
                f"name; expected a folder of photos or one of the sets {known}; `fer-host calibrate` makes one"
            )
        shipped = ranges_format.load(path)
        ranges_format.check_weights(shipped, weights_sha256)
        return shipped
    faces = load_faces(Path(calib), recipe, 512, seed=1)
    if not quiet:
        faces.say_warnings()
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


def inputs_of(crops: Iterable[NDArray[np.uint8]], recipe: Recipe) -> Iterator[NDArray[np.float32]]:
    """Each crop as the network's input (H, W, 3)."""
    return (preprocess(crop, recipe.input, recipe.input_hw) for crop in crops)
