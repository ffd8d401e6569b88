"""The stages of one conversion: each makes one artifact, compares it with torch, and stops at a broken gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fer_edge.contract import codec
from fer_host.bundle.converted import Converted
from fer_host.bundle.golden import PHOTOS, golden_crops, network_inputs
from fer_host.convert import int8, onnx_export, saved_model, tflite
from fer_host.convert.parity import (
    Gate,
    Parity,
    check,
    compare,
    float_gates,
    format_table,
    gates_of,
    is_quantized,
    read_parity,
    write_parity,
)
from fer_host.detector.networks import load_detector_model
from fer_host.errors import GateError
from fer_host.files.artifacts import digest_json, sha256_file, write_json
from fer_host.files.store import Stage, StageResult, Store
from fer_host.models.own import code_sha256, is_own
from fer_host.models.weights import package_file, save_exact, weights_sha256
from fer_host.quantize import mixed
from fer_host.quantize.grids import LayerGrid
from fer_host.quantize.placed import PlacedLayer, find_layers, place_layers
from fer_host.recipe.recipe import Recipe, load_detector
from fer_host.tflite import ranges as ranges_format
from fer_host.tflite.arithmetic import not_int8, scheme_of, tensors_not_int8
from fer_host.tflite.inspection import inspect_tflite
from fer_host.tflite.ranges import ActivationRanges
from fer_host.tflite.run import check_runs, run_tflite


class Build:
    """One recipe's stages in one store.

    Args:
        store: where they are kept.
        recipe: what is built.
        network: the torch network with its weights.
        quiet: print no progress.
        is_own: the network is the user's: nobody measured in advance what it holds.
        has_answers: there are pictures of the user's, whose answers decide in the place of the golden inputs'.
    """

    def __init__(
        self,
        store: Store,
        recipe: Recipe,
        network: nn.Module,
        quiet: bool = False,
        is_own: bool = False,
        has_answers: bool = False,
    ) -> None:
        self.store = store
        self.recipe = recipe
        self.network = network
        self.quiet = quiet
        self.is_own = is_own
        self.has_answers = has_answers
        self.weights_sha256 = weights_sha256(network)
        self.parity: list[Parity] = []
        self._digests: dict[Path, str] = {}

    @cached_property
    def golden(self) -> dict[str, NDArray[np.float32]]:
        """Golden ``crops``, the ``inputs`` that are made of them (n, h, w, channels), torch's ``logits`` on these."""
        with np.load(self._checkpoint_folder / "golden.npz", allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    @property
    def crops(self) -> NDArray[np.uint8]:
        """Golden crops (n, h, w, 3) uint8 RGB."""
        return self.golden["crops"].astype(np.uint8)

    def checkpoint(self) -> Path:
        """01: the weights as they are converted, the golden inputs and torch's logits on them."""
        detector = load_detector(self.recipe.detector)

        def make(folder: Path) -> None:
            save_exact(self.network, folder / "weights.safetensors")
            crops = golden_crops(load_detector_model(self.recipe.detector), self.recipe.align)
            inputs = network_inputs(crops, self.recipe)
            logits = onnx_export.run_torch(self.network, inputs)
            np.savez_compressed(folder / "golden.npz", crops=crops, inputs=inputs, logits=logits)

        inputs = {"weights": self.weights_sha256, "recipe": self.recipe.sha256, "detector": detector.sha256}
        if is_own(self.recipe.network):
            inputs["code"] = code_sha256(self.recipe.network)
        inputs |= {name: sha256_file(package_file(*source)) for name, source in PHOTOS.items()}
        stage = Stage(1, "checkpoint", version=3, inputs=inputs, tools=("torch", "numpy", "opencv-python-headless"))
        self._checkpoint_folder = self._run(stage, make).path
        return self._checkpoint_folder / "weights.safetensors"

    def onnx(self, checkpoint: Path) -> Path:
        """02: torch's own export."""
        return self.network_stage(
            Stage(2, "onnx", version=2, inputs=self.made_from(checkpoint.parent), tools=onnx_export.EXPORT_TOOLS),
            "network.onnx",
            lambda target: onnx_export.export_onnx(
                self.network, self.recipe.input_hw, target, self.recipe.input.channels, self.is_own
            ),
            onnx_export.run_onnx,
        )

    def simplified(self, onnx: Path) -> Path:
        """03: constants folded, no-ops removed by onnxsim."""
        return self.network_stage(
            Stage(3, "simplified", inputs=self.made_from(onnx.parent), tools=onnx_export.SIMPLIFY_TOOLS),
            "network.onnx",
            lambda target: onnx_export.simplify_onnx(onnx, target),
            onnx_export.run_onnx,
        )

    def saved_model(self, simplified: Path) -> Path:
        """04: TensorFlow's SavedModel (saved_model.pb), channels last."""
        stage = Stage(4, "saved-model", version=2, inputs=self.made_from(simplified.parent), tools=saved_model.TOOLS)
        log = self.store.log(stage)
        return self.network_stage(
            stage,
            "saved_model",
            lambda target: saved_model.to_saved_model(simplified, target, log),
            lambda path, inputs: saved_model.run_saved_model(path, inputs, log),
        )

    def float_tflite(self, model: Path) -> Converted:
        """05: tflite in float."""
        stage = Stage(5, "float32", inputs=self.made_from(model.parent), tools=tflite.TOOLS)
        log = self.store.log(stage)
        path = self.network_stage(
            stage,
            "network.tflite",
            lambda target: tflite.to_float_tflite(model, target, log),
            run_tflite,
        )
        return Converted(path, self.conditions())

    def dynamic(self, float32: Converted) -> Converted:
        """06: int8 weights, float activations; needs no calibration."""
        path = self.network_stage(
            Stage(6, "dynamic", inputs=self.made_from(float32.path.parent), tools=int8.TOOLS),
            "network.tflite",
            lambda target: int8.quantize_dynamic(float32.path, target),
            run_tflite,
            arithmetic="dynamic",
        )
        return Converted(path, self.conditions())

    def int8(self, float32: Converted, ranges: ActivationRanges) -> Converted:
        """07: int8 weights and activations, by the ranges of a calibration set."""
        text = ranges_format.dumps(ranges)
        stage = Stage(
            7,
            "int8",
            config={"ranges": text},
            inputs=self.made_from(float32.path.parent),
            tools=int8.TOOLS,
        )
        kept = self.recipe.convert.keep_float
        if kept:
            stage = replace(stage, config={**stage.config, "keep_float": list(kept)})
        path = self.network_stage(
            stage,
            "network.tflite",
            lambda target: int8.quantize_int8(float32.path, ranges, target, kept, weights_sha256=self.weights_sha256),
            run_tflite,
            arithmetic="mixed" if kept else "int8",
        )
        self._report_tensors(path)
        return Converted(path, self.conditions(text))

    def mixed(self, float32: Converted, ranges: ActivationRanges, grids: Mapping[str, LayerGrid]) -> Converted:
        """08: int8 activations, and weights on their tuned grids, whose values ``self.network`` holds."""
        text = ranges_format.dumps(ranges)
        found = find_layers(float32.path, grids)
        made: list[PlacedLayer] = []
        stage = Stage(
            8,
            "mixed",
            config={"ranges": text, "bits": {name: grid.bits.tolist() for name, grid in grids.items()}},
            inputs=self.made_from(float32.path.parent),
            tools=int8.TOOLS,
        )
        path = self.network_stage(
            stage,
            "network.tflite",
            lambda target: made.extend(
                mixed.quantize_mixed(float32.path, ranges, found, target, weights_sha256=self.weights_sha256)
            ),
            run_tflite,
            arithmetic="int8",
        )
        self._report_tensors(path)
        placed = tuple(made) or place_layers(path, found)  # none made: the stage is an earlier run's
        return Converted(path, self.conditions(text), placed, float32.path)

    def conditions(self, ranges: str = "") -> str:
        """See ``Converted.conditions``; ``ranges`` as text, empty where no activation is quantized."""
        return digest_json([self.weights_sha256, codec.encode(self.recipe.input), self.recipe.size_px, ranges])

    def report_parity(self) -> None:
        """Writes ``build/<recipe>/parity.json`` over all stages, and prints it as a table."""
        write_parity(self.store.root / "parity.json", self.parity)
        self.say(format_table(self.parity))

    def say(self, line: str) -> None:
        """Prints unless quiet."""
        if not self.quiet:
            print(line, flush=True)

    def network_stage(
        self,
        stage: Stage,
        name: str,
        make: Callable[[Path], None],
        run: Callable[[Path, NDArray[np.float32]], NDArray[np.float32]],
        arithmetic: str | None = None,
    ) -> Path:
        """A stage whose artifact is a network: made, run on the golden inputs, compared, gated; all or nothing."""

        def build(folder: Path) -> None:
            make(folder / name)
            if arithmetic is not None:
                _check_arithmetic(stage.name, folder / name, arithmetic)
                check_runs(folder / name)
            found = run(folder / name, self.golden["inputs"])
            sets = tuple(slice(*each.slice) for each in self.recipe.label_sets)
            parity = replace(
                compare(stage.name, self.golden["logits"], found, sets=sets), gates=self._gates(stage.name)
            )
            write_parity(folder / "parity.json", [parity])
            self.parity.append(parity)  # before the gate: what stopped the build is to be seen
            check(parity, gates_of(parity))

        result = self._run(stage, build)
        if result.reused:
            (kept,) = read_parity(result.path / "parity.json")
            self.parity.append(replace(kept, gates=self._gates(stage.name)))
            check(self.parity[-1], gates_of(self.parity[-1]))
        return result.path / name

    def _gates(self, stage: str) -> tuple[Gate, ...] | None:
        """On the golden inputs; None: by the stage's name."""
        if not self.is_own:
            return None
        if not is_quantized(stage):
            return float_gates(self.golden["logits"])
        return () if self.has_answers else None

    def _report_tensors(self, path: Path) -> None:
        """Writes ``not-int8.json`` beside the stages: every tensor that is not int8, and why; prints how many."""
        info = inspect_tflite(path)
        notes = tensors_not_int8(info)
        write_json(self.store.root / "not-int8.json", [asdict(note) for note in notes])
        counted = Counter(f"{note.dtype} ({note.reason})" for note in notes)
        listed = "; ".join(f"{n} {what}" for what, n in counted.most_common())
        left = len(not_int8(info))
        computed = "all in int8" if not left else f"{left} not in int8"
        self.say(
            f"[{self.store.root.name}] int8: {len(info.ops)} operators, {computed}; other tensors: {listed or 'none'}"
        )

    def _run(self, stage: Stage, make: Callable[[Path], None]) -> StageResult:
        result = self.store.run(stage, make)
        self._digests[result.path] = result.sha256
        self.say(
            f"[{self.store.root.name}] {result.name:16} {'reused' if result.reused else f'{result.seconds:.1f} s'}"
        )
        return result

    def made_from(self, folder: Path) -> dict[str, str]:
        """What a stage's ``inputs`` say of an earlier stage's folder."""
        return {folder.name: self._digests[folder]}


def _check_arithmetic(stage: str, path: Path, expected: str) -> None:
    """Refuses a file that is not what its name would say."""
    info = inspect_tflite(path)
    found = scheme_of(info)
    if found != expected:
        notes = not_int8(info, int8.static_int8_operators())
        first = f"; operator {notes[0].index} {notes[0].type}: {notes[0].reason}" if notes else ""
        raise GateError(f"stage {stage}: the file is {found}, expected {expected}{first}; use SCHEME={found}")
