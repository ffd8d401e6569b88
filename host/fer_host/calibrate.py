"""Read this second: from faces to a calibration set and the activation ranges that int8 is made with."""

from __future__ import annotations

from pathlib import Path

from fer_host.calibration.faces import CalibrationFaces, load_faces, training_faces
from fer_host.calibration.ranges import path_of_ranges, ranges_of, ranges_of_tuned
from fer_host.calibration.sets import holds, load_set, save_set, set_record
from fer_host.errors import RecipeError
from fer_host.pipeline import float_network, tuned_float_network
from fer_host.quantize.hawqc import Workshop, run_tuning
from fer_host.recipe.recipe import Recipe, load_recipe
from fer_host.tflite import ranges as ranges_format
from fer_host.train.run import training_data


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
    recipe = load_recipe(model)
    faces = load_faces(data, recipe, n, seed)
    faces.say_warnings()
    float_tflite, digest = float_network(recipe, weights)
    measured = ranges_of(faces, recipe, float_tflite, digest, name)
    record = set_record(name, faces, load_set(name), source, license_name, default_source=str(data))
    written, ranges_path = save_set(record), path_of_ranges(recipe, name)
    ranges_format.save(measured, ranges_path)
    print(f"{len(faces.crops)} faces: {written}, {ranges_path}")
    return written, ranges_path


def calibrate_tuned(recipe: Recipe, tuned: Path, data: Path, n: int = 256, seed: int = 1) -> Path:
    """``fer-host calibrate --tuned``: measures the ranges of tuned weights; see ``training_faces``."""
    return measure_tuned(recipe, tuned, training_faces(recipe, training_data(recipe, data), str(data), n, seed))


def tune(
    recipe: Recipe, data: Path, policy_file: Path | None, out: Path | None, untuned: bool = False
) -> tuple[Path, Path]:
    """``fer-host qat``: tunes weights on a policy's grids and measures their ranges; see ``hawqc.run_tuning``.

    Args:
        recipe: with a ``[quantize]`` table.
        data: see ``train.run.training_data``.
        policy_file: by ``fer-host search``; None: it is searched first.
        out: the file to write; None takes the zoo's.
        untuned: only move the weights to their grids.

    Returns:
        The tuned weights, and their ranges by ``ranges_of_tuned``.

    Raises:
        RecipeError: no ``[quantize]`` table, or ``out`` missing for what may not go to the zoo.
        DataError: a policy of another network, or faces that nothing can be calibrated on: before anything is tuned.
    """
    if out is None and (untuned or policy_file is not None):
        raise RecipeError("--out: not given; expected a file for weights of a policy of one's own, or --untuned ones")
    workshop = Workshop(recipe, data)
    faces = training_faces(recipe, workshop.data, str(data))
    tuned = run_tuning(workshop, policy_file, out, untuned)
    return tuned, measure_tuned(recipe, tuned, faces)


def measure_tuned(recipe: Recipe, tuned: Path, faces: CalibrationFaces) -> Path:
    """Measures the ranges of tuned weights on these faces, and writes them to ``ranges_of_tuned``."""
    float_tflite, digest = tuned_float_network(recipe, tuned)
    own = recipe.convert.calibration_set
    name = own if holds(own, faces) else None
    path = ranges_of_tuned(tuned)
    ranges_format.save(ranges_of(faces, recipe, float_tflite, digest, name), path)
    return path
