"""Why a user's own int8 file answers otherwise than its float file, and what would mend it: tried, not guessed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_host.calibration.faces import CalibrationFaces
from fer_host.calibration.ranges import ranges_of
from fer_host.convert.int8 import quantize_int8
from fer_host.convert.parity import Parity, gates_of, holds
from fer_host.errors import HostError
from fer_host.evaluate.answers import Pictures, answer_parity
from fer_host.recipe.recipe import Recipe
from fer_host.tflite.inspection import inspect_tflite
from fer_host.tflite.ranges import ActivationRanges
from fer_host.tflite.run import open_interpreter

_LOOKED_AT = 16  # pictures whose activations are compared
_SUSPECTS = 6  # operators tried in float, each by itself, and the first three together
_TOGETHER = 3
_PERCENTILES = (99.9, 99.0)
_FEW = 100  # pictures; more are advised below


@dataclass(frozen=True)
class Patient:
    """What is looked into: the float file, the ranges it was quantized with, and what it was asked."""

    recipe: Recipe
    float32: Path
    int8: Path
    ranges: ActivationRanges
    weights_sha256: str
    pictures: Pictures
    faces: CalibrationFaces | None


def remedies(patient: Patient) -> str:
    """For the line of a failed gate: the operator that costs most, what each remedy gave when it was tried just now."""
    tried: list[tuple[str, Parity]] = []
    suspects = suspects_of(patient)
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "network.tflite"

        def note(name: str, make: Callable[[], None]) -> None:
            try:
                make()
                tried.append((name, answer_parity("int8", patient.recipe, patient.float32, target, patient.pictures)))
            except HostError:
                return  # no remedy then

        for name in suspects:
            kept = (*patient.recipe.convert.keep_float, name)
            note(f"--keep-float {name}", lambda kept=kept: _quantized(patient, patient.ranges, target, kept))  # type: ignore[misc]
        costliest = max(tried, key=lambda each: each[1].top1_agreement, default=None)
        tried[:] = [] if costliest is None else [costliest]
        several = suspects[:_TOGETHER]
        if costliest is not None and len(several) > 1 and "does not" in _verdict(costliest[1]):
            kept = (*patient.recipe.convert.keep_float, *several)
            name = " ".join(f"--keep-float {each}" for each in several)
            note(name, lambda: _quantized(patient, patient.ranges, target, kept))
        if patient.faces is not None:
            faces = patient.faces
            for percentile in _PERCENTILES:
                convert = replace(patient.recipe.convert, calibration_percentile=percentile)
                recipe = replace(patient.recipe, convert=convert)
                note(
                    f"--percentile {percentile:g}",
                    lambda recipe=recipe: _quantized(  # type: ignore[misc]
                        patient, ranges_of(faces, recipe, patient.float32, patient.weights_sha256), target
                    ),
                )
    parts = [f"{name}: {parity.top1_agreement:.1%} agree{_verdict(parity)}" for name, parity in tried]
    first = f"{costliest[0].split()[-1]} costs most. " if costliest is not None else ""
    more = f"; calibrate with more pictures ({patient.ranges.n_inputs} now)" if patient.ranges.n_inputs < _FEW else ""
    loss = "the loss by --accept-loss SHARE, which the manifest records"
    return f"{first}Tried: {'; '.join(parts) or 'nothing helped'}. Or take --variant dynamic{more}, or {loss}"


def suspects_of(patient: Patient) -> list[str]:
    """Operators by the error that they add, the worst first: relative to their output, less what came in."""
    before, after = inspect_tflite(patient.float32), inspect_tflite(patient.int8)
    errors = _errors(patient)
    names = {op.outputs[0]: f"{op.index:03d}.{op.type}" for op in before.ops}
    added = {}
    for op in before.ops:
        own = errors.get(before.tensors[op.outputs[0]].name)
        incoming = [errors.get(before.tensors[i].name, 0.0) for i in op.inputs if i >= 0]
        if own is not None and not before.tensors[op.outputs[0]].constant:
            added[names[op.outputs[0]]] = own - max(incoming, default=0.0)
    assert len(after.ops) > 0, "an int8 file has operators"
    return sorted(added, key=lambda name: -added[name])[:_SUSPECTS]


def _errors(patient: Patient) -> dict[str, float]:
    """Tensor name -> relative error of the int8 file's values, 0 to 1 and more, over some pictures."""
    runs = []
    for path in (patient.float32, patient.int8):
        info, interpreter = inspect_tflite(path), open_interpreter(path, keep_all=True)
        source = interpreter.get_input_details()[0]
        sums: dict[str, list[NDArray[np.float32]]] = {}
        for row in patient.pictures.inputs[:_LOOKED_AT]:
            scale, zero = source["quantization"]
            value = np.rint(row / scale + zero).clip(-128, 127) if scale else row
            interpreter.set_tensor(source["index"], value.astype(source["dtype"])[None])
            interpreter.invoke()
            for tensor in info.tensors:
                if tensor.constant or tensor.dtype not in ("float32", "int8") or len(tensor.scales) > 1:
                    continue
                try:
                    found = interpreter.get_tensor(tensor.index)
                except ValueError:  # no memory of its own
                    continue
                plain = (
                    (found.astype(np.float32) - tensor.zero_points[0]) * tensor.scales[0] if tensor.scales else found
                )
                sums.setdefault(tensor.name, []).append(np.asarray(plain, dtype=np.float32))
        runs.append({name: np.concatenate([each.ravel() for each in values]) for name, values in sums.items()})
    expected, found_ = runs
    return {
        name: float(np.linalg.norm(found_[name] - value) / max(float(np.linalg.norm(value)), 1e-9))
        for name, value in expected.items()
        if name in found_ and found_[name].shape == value.shape
    }


def _quantized(patient: Patient, ranges: ActivationRanges, target: Path, kept: tuple[str, ...] | None = None) -> None:
    kept = patient.recipe.convert.keep_float if kept is None else kept
    quantize_int8(patient.float32, ranges, target, kept, weights_sha256=patient.weights_sha256)


def _verdict(parity: Parity) -> str:
    accuracy = "" if parity.accuracy is None else f", accuracy {parity.accuracy:.1%}"
    return f"{accuracy} ({'holds' if all(holds(parity, gate) for gate in gates_of(parity)) else 'does not hold'})"
