"""``fer-host export MODEL --for NAME``: a network as a vendor's compiler takes it, checked, in its own folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.replace import check_replaceable, replace_folder
from fer_edge.contract.specs import TensorSpec
from fer_host.bundle.assemble import calibrated_sets
from fer_host.bundle.golden import N_SHIPPED
from fer_host.bundle.job import Choices, Job, open_job
from fer_host.bundle.stages import Build
from fer_host.calibration.ranges import open_calibration, ranges_on
from fer_host.convert import onnx_export
from fer_host.convert.int8 import quantize_int8
from fer_host.convert.parity import check, compare, gates_of
from fer_host.errors import DataError, RecipeError
from fer_host.export.accelerator import Accelerator, load_accelerator
from fer_host.export.calibration import pictures_for
from fer_host.export.document import INDEX_NAME, ExportDoc, OperatorNote, dumps, files_of_export
from fer_host.export.operators import Checked, check_network
from fer_host.export.readme import readme
from fer_host.files.artifacts import one_line_if_disk_full, sha256_file
from fer_host.files.paths import BUILD, EXPORTS
from fer_host.files.store import Store
from fer_host.models.weights import weights_sha256
from fer_host.pipeline import to_float_tflite
from fer_host.recipe.recipe import Recipe
from fer_host.tflite.inspection import inspect_tflite
from fer_host.tflite.run import run_tflite

CHECK, CALIBRATION = "check.npz", "calibration.npy"
N_CALIBRATION = 256
_SUFFIX = {"onnx": ".onnx", "int8": ".tflite"}


@dataclass(frozen=True)
class ExportRequest:
    """One ``fer-host export``.

    Attributes:
        model: a recipe's name, or a TOML file.
        accelerator: NAME, see ``accelerator_names``.
        out: the folder to make; None takes dist/export/<model>-<NAME>.
        weights: the user's own; None takes the shipped ones.
        calib: a folder of photos; None takes the packaged ones, and for int8 the recipe's shipped ranges.
        n: calibration pictures.
        quiet: print nothing but errors.
    """

    model: str
    accelerator: str
    out: Path | None = None
    weights: Path | None = None
    calib: Path | None = None
    n: int = N_CALIBRATION
    quiet: bool = False


@dataclass(frozen=True)
class Exported:
    """The folder, and what was found when it was checked."""

    path: Path
    document: ExportDoc
    checked: Checked


def export(request: ExportRequest) -> Exported:
    """Converts a network as far as the compiler needs it, checks the form, and writes the folder, all or nothing.

    Raises:
        HostError: bad input, a broken gate, or a form that the compiler cannot take.
        BundleError: the folder holds something else.
    """
    accelerator = load_accelerator(request.accelerator)
    if request.model.endswith((".onnx", ".pt2")):
        raise RecipeError(
            f"export {request.model}: expected a recipe (a name, or a TOML file), which says how its input is made"
        )
    if request.calib is not None and not request.calib.is_dir():
        raise DataError(f"--calib {request.calib}: no such folder; expected photos, or leave it out for what ships")
    job = open_job(request.model, request.weights, None, Choices())
    out = request.out or EXPORTS / f"{job.recipe.id}-{accelerator.id}"
    check_replaceable(out, files_of_export)
    made: list[Exported] = []

    with Store(BUILD / job.recipe.id) as store:
        build = Build(store, job.recipe, job.network, request.quiet, job.is_own)
        make = _onnx(build) if accelerator.form == "onnx" else _int8(build, request, accelerator)

        def fill(folder: Path) -> None:
            network = folder / f"{job.recipe.id}{_SUFFIX[accelerator.form]}"
            make(network)
            document, checked = _fill(folder, network, job, accelerator, build, request)
            (folder / INDEX_NAME).write_text(dumps(document))
            made.append(Exported(out, document, checked))

        with one_line_if_disk_full(out):
            replace_folder(out, fill, files_of_export)
    return made[0]


def _onnx(build: Build) -> Callable[[Path], None]:
    """Makes the float network, batch 1, channels first."""
    simplified = build.simplified(build.onnx(build.checkpoint()))
    return lambda target: Path(shutil.copyfile(simplified, target)).chmod(0o644)


def _int8(build: Build, request: ExportRequest, accelerator: Accelerator) -> Callable[[Path], None]:
    """Makes the int8 network, its weights as the compiler needs them; held to the gate of every int8 stage."""
    recipe, digest = build.recipe, build.weights_sha256
    calib = None if request.calib is None else str(request.calib)
    calibration = open_calibration(calib, recipe, digest, request.quiet)
    float32 = to_float_tflite(build)
    ranges = ranges_on(calibration, recipe, float32.path, digest)

    def make(target: Path) -> None:
        quantize_int8(
            float32.path,
            ranges,
            target,
            recipe.convert.keep_float,
            weights_sha256=digest,
            per_tensor_dense=accelerator.per_tensor_dense,
        )
        sets = tuple(slice(*each.slice) for each in recipe.label_sets)
        found = run_tflite(target, build.golden["inputs"])
        parity = compare("int8", build.golden["logits"], found, sets=sets)
        check(parity, gates_of(parity))

    return make


def _fill(
    folder: Path, network: Path, job: Job, accelerator: Accelerator, build: Build, request: ExportRequest
) -> tuple[ExportDoc, Checked]:
    """Everything but the index, into the folder."""
    recipe = job.recipe
    checked = check_network(network, accelerator)
    tensors: tuple[TensorSpec, ...] = ()
    if accelerator.form == "onnx":
        pictures = pictures_for(recipe, request.n, request.calib)
        np.save(folder / CALIBRATION, pictures.inputs)
        words = f"`{CALIBRATION}`: {pictures.words}"
        logits = onnx_export.run_onnx(network, build.golden["inputs"][:N_SHIPPED])
    else:
        info = inspect_tflite(network)
        tensors = (info.inputs[0], info.outputs[0])
        words = _ranges_in_words(recipe, request.calib)
        logits = build.golden["logits"][:N_SHIPPED]
    _write_check(folder / CHECK, build.crops[:N_SHIPPED], build.golden["inputs"][:N_SHIPPED], logits)
    for name, text in accelerator.scripts.items():
        (folder / name).write_text(text.replace("{id}", recipe.id))
    document = ExportDoc(
        network=recipe.id,
        accelerator=accelerator.id,
        form=checked.form,
        compiler=f"{accelerator.compiler} {accelerator.version}",
        source=accelerator.source,
        tried=accelerator.tried,
        weights_sha256=weights_sha256(job.network),
        label_sets=calibrated_sets(recipe, build.weights_sha256),
        input=recipe.input,
        align=recipe.align,
        input_hw=recipe.input_hw,
        tensors=tensors,
        operators=checked.counts,
        elsewhere=tuple(
            OperatorNote(each.operator.index, each.operator.type, each.reason) for each in checked.elsewhere
        ),
        calibration=words,
        files={},
    )
    (folder / "README.md").write_text(readme(document, accelerator, checked))
    files = {path.name: sha256_file(path) for path in sorted(folder.iterdir())}
    return replace(document, files=files), checked


def _write_check(
    path: Path, crops: NDArray[np.uint8], inputs: NDArray[np.float32], logits: NDArray[np.float32]
) -> None:
    """The golden pictures, what the network is fed of them, and what it answers in float."""
    np.savez_compressed(path, crops=crops, inputs=inputs, logits=logits)


def _ranges_in_words(recipe: Recipe, calib: Path | None) -> str:
    if calib is not None:
        return f"the file is int8 already, by ranges observed on faces of {calib.name}"
    return (
        f"the file is int8 already, by the ranges that ship (set {recipe.convert.calibration_set}: two numbers an "
        "operator, no picture); the compiler needs no pictures"
    )
