"""Stages whose artifacts are for onnxruntime: each makes one file, compares it with torch, stops at a broken gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fer_host.bundle.converted import Converted
from fer_host.bundle.stages import Build
from fer_host.convert import onnx_variants
from fer_host.convert.from_tflite import tflite_to_onnx
from fer_host.files.store import Stage


def onnx_networks(
    build: Build, simplified: Path, networks: Mapping[str, Converted], variants: Sequence[str]
) -> dict[str, Converted]:
    """The files for onnxruntime that are wanted, by variant.

    Args:
        build: whose stages went before.
        simplified: the graph that ``onnx`` and ``onnx_fp16`` are made from.
        networks: holds the int8 tflite file, whose numbers ``onnx_int8`` has.
        variants: those wanted.

    Raises:
        GateError: one does not answer as torch.
        ToolError: one cannot be made.
    """
    made = {}
    if not {"onnx", "onnx_fp16"}.isdisjoint(variants):
        made["onnx"] = _float32(build, simplified)
    if "onnx_fp16" in variants:
        made["onnx_fp16"] = _half(build, made["onnx"])
    if "onnx_int8" in variants:
        made["onnx_int8"] = _int8(build, networks["int8"])
    return made


def _float32(build: Build, simplified: Path) -> Converted:
    """09: the simplified graph as a bundle holds it, channels last."""
    stage = Stage(9, "onnx_float32", inputs=build.made_from(simplified.parent), tools=onnx_variants.TOOLS)
    return _made(build, stage, lambda target: onnx_variants.channels_last(simplified, target), build.conditions())


def _half(build: Build, onnx: Converted) -> Converted:
    """10: float16 inside."""
    stage = Stage(10, "onnx_fp16", inputs=build.made_from(onnx.path.parent), tools=onnx_variants.TOOLS)
    return _made(build, stage, lambda target: onnx_variants.to_half(onnx.path, target), build.conditions())


def _int8(build: Build, int8: Converted) -> Converted:
    """11: the int8 tflite file as ONNX: its integers, scales and zero points."""
    stage = Stage(11, "onnx_int8", inputs=build.made_from(int8.path.parent), tools=onnx_variants.TOOLS)
    return _made(build, stage, lambda target: tflite_to_onnx(int8.path, target), int8.conditions)


def _made(build: Build, stage: Stage, make: Callable[[Path], None], conditions: str) -> Converted:
    return Converted(build.network_stage(stage, "network.onnx", make, onnx_variants.run_onnx_file), conditions)
