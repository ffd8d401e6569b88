"""Read this first: from trained weights to a bundle, one stage a step, parity checked after each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fer_edge.contract.bundle import Bundle
from fer_host.build import Build
from fer_host.bundle import assemble, check_places, wanted_schemes
from fer_host.calibration.sets import open_calibration, ranges_on, shipped_ranges
from fer_host.recipe import Recipe, load_recipe
from fer_host.store import Store
from fer_host.weights import load_network, weights_sha256


@dataclass(frozen=True)
class ConvertRequest:
    """One ``fer-host convert``.

    Attributes:
        model: a recipe's name or a TOML file.
        scheme: a variant to add and to make the default; None takes the recipe's.
        calib: photos or a set that give the int8 ranges; None takes the recipe's shipped ranges.
        weights: the user's own weights; None takes the shipped ones.
        data: a labelled data set for the accuracy gates; None leaves them to the model card.
        out: the bundle's folder; None takes dist/<model>.
        quiet: print nothing but errors.
    """

    model: str
    scheme: str | None = None
    calib: str | None = None
    weights: Path | None = None
    data: Path | None = None
    out: Path | None = None
    quiet: bool = False


def convert(request: ConvertRequest) -> Bundle:
    """Checkpoint → onnx → simplified onnx → SavedModel → float tflite → dynamic, int8 → bundle.

    Raises:
        HostError: bad input, a converter that failed, or a gate that does not hold; nothing half-written is left.
    """
    recipe = load_recipe(request.model)
    schemes = wanted_schemes(recipe, request.scheme)
    out = request.out or Path("dist") / recipe.id
    check_places(out, request.data)
    network = load_network(recipe, request.weights)
    calibration = (
        open_calibration(request.calib, recipe, weights_sha256(network), request.quiet) if "int8" in schemes else None
    )
    with Store(Path("build") / recipe.id) as store:
        build = Build(store, recipe, network, quiet=request.quiet)
        try:
            float32 = _to_float_tflite(build)
            networks = {"float32": float32}
            if "dynamic" in schemes:
                networks["dynamic"] = build.dynamic(float32)
            if calibration is not None:
                ranges = ranges_on(calibration, recipe, float32, build.weights_sha256)
                networks["int8"] = build.int8(float32, ranges)
        finally:
            build.report_parity()
        bundle = assemble(build, networks, request.scheme, out, request.data)
    if not request.quiet:
        print(f"bundle: {bundle.path}")
    return bundle


def _to_float_tflite(build: Build) -> Path:
    onnx = build.onnx(build.checkpoint())
    simplified = build.simplified(onnx)
    saved_model = build.saved_model(simplified)
    return build.float_tflite(saved_model)


def float_network(recipe: Recipe, weights: Path | None = None) -> tuple[Path, str]:
    """The float tflite file of a recipe and the digest of its weights, for calibration."""
    with Store(Path("build") / recipe.id) as store:
        build = Build(store, recipe, load_network(recipe, weights), quiet=True)
        return _to_float_tflite(build), build.weights_sha256


def conditions_of(recipe: Recipe, bundle: Bundle) -> dict[str, str]:
    """By variant, the digest of what the recipe's own bundle was made from (see ``Build.conditions``)."""
    with Store(Path("build") / recipe.id) as store:
        build = Build(store, recipe, load_network(recipe), quiet=True)
        build.int8(_to_float_tflite(build), shipped_ranges(recipe))
        return {variant.id: build.conditions(variant.id) for variant in bundle.manifest.variants}
