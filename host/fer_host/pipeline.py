"""Read this first: from trained weights to a bundle, one stage a step, parity checked after each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from torch import nn

from fer_edge.contract.bundle import Bundle
from fer_host.bundle.answers import judge_answers
from fer_host.bundle.assemble import assemble, check_places, wanted_variants
from fer_host.bundle.converted import Converted
from fer_host.bundle.job import Choices, open_job
from fer_host.bundle.onnx_stages import onnx_networks
from fer_host.bundle.remedies import Patient, remedies
from fer_host.bundle.stages import Build
from fer_host.calibration.faces import CalibrationFaces
from fer_host.calibration.ranges import open_calibration, ranges_of_tuned, ranges_on
from fer_host.errors import RecipeError
from fer_host.evaluate.answers import Pictures, pictures_in, pictures_of
from fer_host.files.paths import BUILD, DIST
from fer_host.files.store import Store
from fer_host.models.weights import load_network, weights_sha256
from fer_host.quantize.fold import fold_batch_norms
from fer_host.quantize.grids import load_tuned
from fer_host.quantize.shipped import ChosenTuning, MixedBudget, find_tuned
from fer_host.recipe.of_file import FileInput
from fer_host.recipe.recipe import Recipe
from fer_host.tflite.ranges import ActivationRanges


@dataclass(frozen=True)
class ConvertRequest:
    """One ``fer-host convert``.

    Attributes:
        model: a recipe's name, a TOML file, or a network's file (.onnx, .pt2).
        variant: what to make besides float32, the first to be the default, with commas between several; None takes the
            recipe's.
        calib: photos or a set that give the int8 ranges; None takes the recipe's shipped ranges.
        weights: the user's own weights; None takes the shipped ones.
        data: a labelled data set for the accuracy gates; None leaves them to the model card. FER2013's npz, or for a
            user's own network any set with its labels.
        out: the bundle's folder; None takes dist/<model>.
        quiet: print nothing but errors.
        budget: what a mixed variant may weigh.
        tuned: the tuned weights of a mixed variant; None takes the best that ship within the budget.
        given: what a network's file (.onnx, .pt2) does not say of itself.
        choices: of a user's own network.
        pictures: labelled ones that its gate asks, in the place of ``data``.
        faces: that give the int8 ranges, in the place of ``calib``.
    """

    model: str
    variant: str | None = None
    calib: str | None = None
    weights: Path | None = None
    data: Path | None = None
    out: Path | None = None
    quiet: bool = False
    budget: MixedBudget = field(default_factory=MixedBudget)
    tuned: Path | None = None
    given: FileInput | None = None
    choices: Choices = field(default_factory=Choices)
    pictures: Pictures | None = None
    faces: CalibrationFaces | None = None


@dataclass(frozen=True)
class Conversion:
    """A bundle, and by variant what it was made from."""

    bundle: Bundle
    networks: Mapping[str, Converted]


def convert(request: ConvertRequest) -> Conversion:
    """Checkpoint → onnx → simplified onnx → SavedModel → float tflite → dynamic, int8, mixed → bundle.

    Raises:
        HostError: bad input, a converter that failed, or a gate that does not hold; nothing half-written is left.
    """
    job = open_job(request.model, request.weights, request.given, request.choices)
    recipe, network = job.recipe, job.network
    variants = wanted_variants(recipe, request.variant)
    out = request.out or DIST / recipe.id
    check_places(out, request.data, job.is_own)
    if request.weights is not None and request.variant is None:  # tuned weights ship for the recipe's own only
        variants = tuple(variant for variant in variants if variant != "mixed")
    if "mixed" not in variants and (request.budget != MixedBudget() or request.tuned is not None):
        raise RecipeError(
            f"COMPRESSION, BUDGET_KIB and --tuned are for a mixed variant, found {', '.join(variants)} of {recipe.id}; "
            "expected SCHEME=mixed and the recipe's own weights"
        )
    tuned = find_tuned(recipe, network, request.budget, request.tuned) if "mixed" in variants else None
    has_int8 = not {"int8", "onnx_int8"}.isdisjoint(variants)
    calibration: ActivationRanges | CalibrationFaces | None = request.faces if has_int8 else None
    if calibration is None and has_int8:
        calibration = open_calibration(request.calib, recipe, weights_sha256(network), request.quiet)
    pictures = _pictures(request, recipe, calibration) if job.is_own else None
    with Store(BUILD / recipe.id) as store:
        build = Build(store, recipe, network, request.quiet, job.is_own, has_answers=pictures is not None)
        try:
            simplified = to_simplified(build)
            float32 = to_float_tflite(build, simplified)
            networks = {"float32": float32}
            if "dynamic" in variants:
                networks["dynamic"] = build.dynamic(float32)
            if calibration is not None:
                ranges = ranges_on(calibration, recipe, float32.path, build.weights_sha256)
                networks["int8"] = build.int8(float32, ranges)
            networks |= onnx_networks(build, simplified, networks, variants)
            if tuned is not None:
                networks["mixed"] = _mixed(recipe, tuned, request.calib, request.quiet)
            networks = {name: network for name, network in networks.items() if name in variants}
            answers = None
            if pictures is not None:
                asked = partial(_remedies, build, float32, calibration, pictures)
                answers = judge_answers(build, networks, pictures, request.choices.accept_loss, asked)
        finally:
            build.report_parity()
        bundle = assemble(build, networks, request.variant, out, request.data, answers)
    if not request.quiet:
        print(f"bundle: {bundle.path}")
    return Conversion(bundle, networks)


def _pictures(
    request: ConvertRequest, recipe: Recipe, calibration: ActivationRanges | CalibrationFaces | None
) -> Pictures | None:
    """What a user's own network is asked: labelled data, else the photos that it is calibrated on; None: neither."""
    if request.pictures is not None or request.data is not None:
        return request.pictures or (pictures_in(recipe, request.data) if request.data is not None else None)
    if isinstance(calibration, CalibrationFaces):
        return pictures_of(recipe, calibration.crops, calibration.labels, f"{len(calibration.crops)} calibration faces")
    return None


def _remedies(
    build: Build,
    float32: Converted,
    calibration: ActivationRanges | CalibrationFaces | None,
    pictures: Pictures,
    int8: Path,
) -> str:
    """What would mend an int8 file that answers otherwise."""
    assert calibration is not None, "an int8 file has ranges"
    ranges = ranges_on(calibration, build.recipe, float32.path, build.weights_sha256)
    faces = calibration if isinstance(calibration, CalibrationFaces) else None
    build.say("int8 answers otherwise than float32; looking for what costs most …")
    return remedies(Patient(build.recipe, float32.path, int8, ranges, build.weights_sha256, pictures, faces))


def _mixed(recipe: Recipe, tuned: ChosenTuning, calib: str | None, quiet: bool) -> Converted:
    """The tuned weights through the same chain, in a store of their own, onto their grids."""
    network = tuned.load()
    digest = weights_sha256(network.network)
    calibration = open_calibration(calib, recipe, digest, quiet, own=ranges_of_tuned(tuned.path))
    with Store(BUILD / f"{recipe.id}.mixed") as store:
        build = Build(store, recipe, network.network, quiet=quiet)
        try:
            float32 = to_float_tflite(build)
            ranges = ranges_on(calibration, recipe, float32.path, digest)
            return build.mixed(float32, ranges, network.layers)
        finally:
            build.report_parity()


def to_simplified(build: Build) -> Path:
    """The stages from the checkpoint to the simplified ONNX graph."""
    return build.simplified(build.onnx(build.checkpoint()))


def to_float_tflite(build: Build, simplified: Path | None = None) -> Converted:
    """The stages from the checkpoint, or from the simplified graph, to the float tflite file."""
    return build.float_tflite(build.saved_model(simplified or to_simplified(build)))


def float_network(recipe: Recipe, weights: Path | None = None) -> tuple[Path, str]:
    """The float tflite file of a recipe and the digest of its weights, for calibration."""
    return _float_of(recipe, load_network(recipe, weights), recipe.id)


def tuned_float_network(recipe: Recipe, tuned: Path) -> tuple[Path, str]:
    """Likewise of tuned weights."""
    network = load_tuned(fold_batch_norms(load_network(recipe), recipe.input.channels, recipe.size_px), tuned).network
    return _float_of(recipe, network, f"{recipe.id}.mixed")


def _float_of(recipe: Recipe, network: nn.Module, folder: str) -> tuple[Path, str]:
    with Store(BUILD / folder) as store:
        is_own = recipe.folder is not None
        build = Build(store, recipe, network, quiet=True, is_own=is_own)
        return to_float_tflite(build).path, build.weights_sha256
