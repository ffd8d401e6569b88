"""From converted networks to a bundle: manifest, golden vectors, licences, metrics."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fer_edge.contract.bundle import Bundle, check_output, encode_file, write_bundle
from fer_edge.contract.labels import LabelSet
from fer_edge.contract.manifest import FileEntry, Golden, Layer, Manifest, Metric, Provenance, Variant
from fer_host.bundle.answers import Answers
from fer_host.bundle.converted import Converted
from fer_host.bundle.golden import N_SHIPPED, golden_file
from fer_host.bundle.stages import Build
from fer_host.convert.onnx_variants import onnx_variant
from fer_host.convert.parity import MARGIN
from fer_host.detector.networks import detector_contents, detector_spec, int8_contents, onnx_contents
from fer_host.errors import DataError, RecipeError
from fer_host.evaluate import gates
from fer_host.files.artifacts import one_line_if_disk_full, tool_versions
from fer_host.files.paths import ROOT
from fer_host.models.weights import zoo_path
from fer_host.recipe.convert import VARIANTS
from fer_host.recipe.recipe import Recipe, load_detector
from fer_host.tflite.arithmetic import scheme_of
from fer_host.tflite.inspection import inspect_tflite
from fer_host.zoo.card import read_card

# The oldest interpreters that pass `fer-edge verify`. The version in the file is the converter's, which does not know
# what the quantizer made of it: tflite-runtime 2.14.0 loads the dynamic-range file and computes other answers.
_MIN_RUNTIME = {"dynamic": "ai-edge-litert 2.3.0"}
_MIN_RUNTIME_ELSE = "tflite-runtime 2.14.0"
_TOOLS = ("torch", "onnx", "onnxsim", "onnx2tf", "tensorflow", "ai-edge-quantizer", "ai-edge-litert", "numpy")


def wanted_variants(recipe: Recipe, variant: str | None) -> tuple[str, ...]:
    """The variants to make: the recipe's, or float32 and those asked for, with commas between them.

    Raises:
        RecipeError: no such variant.
    """
    if variant is None:
        return recipe.convert.variants
    asked = variant.split(",")
    for name in asked:
        if name not in VARIANTS:
            raise RecipeError(f"SCHEME {name!r}: is no variant; expected one of {', '.join(VARIANTS)}, or several")
    return tuple(dict.fromkeys(("float32", *asked)))


def check_places(out: Path, data: Path | None, is_own: bool = False) -> None:
    """Refuses what could only fail at the end, before anything is converted.

    Raises:
        BundleError: ``out`` cannot be a bundle's folder.
        DataError: there is no such data set.
    """
    check_output(out)
    if data is not None and is_own and not data.exists():
        raise DataError(f"data {data}: no such file or folder; expected labelled photos")
    if data is not None and not is_own and not data.is_file():
        raise DataError(f"data set {data}: no such file; expected FER2013's npz, see host/fer_host/data/fer2013.py")


def assemble(
    build: Build,
    networks: Mapping[str, Converted],
    variant: str | None,
    out: Path,
    data: Path | None,
    answers: Answers | None = None,
) -> Bundle:
    """Writes the bundle, whole or not at all.

    Args:
        build: the finished stages.
        networks: by variant.
        variant: the default one, or several of which the first is; None takes the recipe's.
        out: the bundle's folder.
        data: labelled data for the accuracy gates, or None.
        answers: of a user's own network, what its answers were; takes the place of ``data``.

    Raises:
        GateError: accuracy or agreement on ``data`` is outside the limits.
    """
    recipe = build.recipe
    contents = {name: network.path.read_bytes() for name, network in networks.items()}
    variants = {
        name: (onnx_variant(name, network.path) if is_onnx(network) else variant_of(name, network))
        for name, network in networks.items()
    }
    measured = _release_metrics(recipe, networks)
    if answers is not None:
        measured |= answers.metrics
    elif data is not None:
        references = {name: network.reference for name, network in networks.items() if network.reference is not None}
        measured = gates.check_accuracy(recipe, {n: (variants[n], contents[n]) for n in variants}, data, references)
    detectors = [load_detector(name) for name in (recipe.detector, *recipe.other_detectors)]
    with_onnx = any(map(is_onnx, networks.values()))  # who asked for one runtime's classifier gets its detectors too
    specs = [detector_spec(detector, with_onnx) for detector in detectors]
    golden = golden_file(build.crops[:N_SHIPPED], recipe, {n: (variants[n], contents[n]) for n in variants})
    plain = {
        **{
            role: (f"{role}.tflite", content)
            for detector in detectors
            for role, content in {**detector_contents(detector), **int8_contents(detector)}.items()
        },
        "golden": ("golden.npz", golden),
    }
    if with_onnx:
        for detector in detectors:
            plain |= {role: (role, content) for role, content in onnx_contents(detector).items()}
    files, stored = {}, {}
    for name, content in contents.items():
        role, path = f"network/{name}", f"{recipe.id}.{name}.tflite"
        if is_onnx(networks[name]):
            path = f"{recipe.id}.{variants[name].scheme}.onnx"
        files[role], stored[role] = _smallest(path, content, networks[name])
    for role, (path, content) in plain.items():
        files[role], stored[role] = encode_file(path, content)
    sets = calibrated_sets(recipe, build.weights_sha256)
    manifest = Manifest(
        model_id=recipe.id,
        version=recipe.version,
        recipe_sha256=recipe.sha256,
        weights_sha256=build.weights_sha256,
        labels=recipe.label_names,
        input=recipe.input,
        align=recipe.align,
        detector=specs[0],
        default_variant=_default((variant or recipe.convert.default_variant).split(",")[0], variants),
        variants=tuple(_with_metrics(variant, measured.get(variant.id, ())) for variant in variants.values()),
        files=files,
        golden=Golden("golden", N_SHIPPED, MARGIN, {n: recipe.convert.tolerance_of(n) for n in variants}),
        licenses=(*recipe.licenses, *(detector.license for detector in detectors)),
        provenance=Provenance(git_commit(), recipe.seed, tool_versions(_tools(networks))),
        other_detectors=tuple(specs[1:]),
        label_sets=sets if recipe.heads else None,
        default_label_set=recipe.labels if recipe.heads else None,
        calibration=sets[0].calibration,
        accepted_losses=(answers.accepted or None) if answers is not None else None,
    )
    with one_line_if_disk_full(out):
        return write_bundle(out, manifest, stored)


def is_onnx(network: Converted) -> bool:
    """Whether its file is for onnxruntime."""
    return network.path.suffix == ".onnx"


def _tools(networks: Mapping[str, Converted]) -> tuple[str, ...]:
    return (*_TOOLS, "onnxruntime") if any(map(is_onnx, networks.values())) else _TOOLS


def _default(wanted: str, made: Mapping[str, Variant]) -> str:
    """The variant that the device takes: the one wanted, or int8 where own weights have no tuned ones."""
    return next((name for name in (wanted, "int8") if name in made), "float32")


def tuned_bits(layers: Mapping[int, Layer], bits: Mapping[int, float]) -> tuple[Layer, ...]:
    """Layers with the tuned bits of their operators, both by operator index.

    An operator with a constant that is no weight (a scalar to add) was not tuned, and keeps its own.
    """
    return tuple(
        replace(layer, effective_bits=round(bits.get(index, layer.effective_bits), 4))
        for index, layer in layers.items()
    )


def variant_of(name: str, network: Converted) -> Variant:
    """The manifest's entry of a tflite file, read off the file itself."""
    info = inspect_tflite(network.path)
    scheme = scheme_of(info)
    return Variant(
        id=name,
        scheme="mixed" if network.placed else scheme,
        file=f"network/{name}",
        input=info.inputs[0],
        output=info.outputs[0],
        min_runtime=_MIN_RUNTIME.get(scheme, _MIN_RUNTIME_ELSE),
        layers=tuned_bits(info.layers_by_operator, {layer.operator: layer.grid.mean_bits for layer in network.placed}),
    )


def _smallest(path: str, content: bytes, network: Converted) -> tuple[FileEntry, bytes]:
    """A network as it lies in the bundle: as it is, or where it has few bits, in the encoding that takes least."""
    if not network.placed:
        return encode_file(path, content)
    by_offset = {layer.offset: layer.region for layer in network.placed}  # two operators may share one tensor
    regions = [by_offset[offset] for offset in sorted(by_offset)]
    candidates = (encode_file(path, content, "xz"), encode_file(path, content, "bits1", regions))
    return min(candidates, key=lambda candidate: candidate[0].size_bytes)


def _with_metrics(variant: Variant, metrics: tuple[Metric, ...]) -> Variant:
    return replace(variant, metrics=metrics)


def _release_metrics(recipe: Recipe, networks: Mapping[str, Converted]) -> dict[str, tuple[Metric, ...]]:
    """The model card's figures of those variants that were made from the same things."""
    card = read_card(zoo_path(recipe))
    if card is None:
        return {}
    return {
        name: released.metrics
        for name, released in card.released.items()
        if name in networks and released.conditions_sha256 == networks[name].conditions
    }


def calibrated_sets(recipe: Recipe, weights_sha256: str) -> tuple[LabelSet, ...]:
    """The recipe's label sets, with what the card says of these very weights; own weights are not calibrated."""
    card = read_card(zoo_path(recipe))
    known = card.calibration if card is not None and card.weights_sha256 == weights_sha256 else {}
    return tuple(replace(each, calibration=known.get(each.id)) for each in recipe.label_sets)


def git_commit() -> str:
    """The project's revision, "unknown" outside a git checkout."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return found.stdout.strip() if found.returncode == 0 else "unknown"
