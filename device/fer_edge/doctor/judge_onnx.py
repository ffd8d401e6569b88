"""Judges onnxruntime: is it there for a bundle's ONNX variants, does it use the GPU? Pure: facts in, findings out."""

from __future__ import annotations

from fer_edge.board.identify import Board, L4t
from fer_edge.classifier.providers import ON_GPU, short
from fer_edge.classifier.runtime import is_older
from fer_edge.doctor.facts import BundleFacts, InferenceFacts, PackageFacts, PythonFacts
from fer_edge.doctor.finding import Finding, fail, ok, warn
from fer_edge.doctor.judge_software import described, kept_numpy, pip
from fer_edge.doctor.remedies import ONNX, quoted, remedy

NAME = "onnxruntime"


def judge_onnxruntime(
    python: PythonFacts,
    onnx: PackageFacts,
    numpy: PackageFacts,
    bundle: BundleFacts,
    board: Board,
    l4t: L4t | None,
    has_gpu: bool,
) -> Finding | None:
    """Nothing to say where the bundle has no variant for it and it is not installed."""
    variants = bundle.onnx_variants
    bad = fail if bundle.default_variant in variants else warn
    cure = _install(python, numpy, board, l4t)
    if onnx.problem:
        if not variants:
            return None
        found = "not installed" if onnx.is_absent else onnx.problem
        return bad(NAME, f"{found}; the bundle has {', '.join(variants)} for it", cure)
    found = described(onnx)
    if onnx.rivals:
        packages = " ".join(sorted({onnx.distribution, *onnx.rivals} - {""}))
        return warn(NAME, f"{found}; {packages} write over each other's files", _one(python, packages, cure))
    too_new = [name for name in variants if is_older(NAME, onnx.version, bundle.min_runtimes[name])]
    if too_new:
        return bad(NAME, f"{found}; {too_new[0]} needs {bundle.min_runtimes[too_new[0]]}", cure)
    usable = [short(name) for name in onnx.providers if name in ON_GPU]
    found += f", providers {', '.join([*usable, 'CPU'])}"
    if has_gpu and not usable:
        return warn(NAME, f"{found}; this board has an NVIDIA GPU that it cannot use", cure)
    return ok(NAME, found)


def judge_provider(bundle: BundleFacts, inference: InferenceFacts | None) -> Finding | None:
    """Whether ONNX variants run where they were meant to; nothing to say where none ran."""
    ran = [] if inference is None else [name for name in bundle.onnx_variants if inference.problems.get(name) == ""]
    if inference is None or not ran:
        return None
    lacks = {name: inference.lacks[name] for name in ran if name in inference.lacks}
    if not lacks:
        used = ", ".join(sorted({short(inference.ran_on[name]) for name in ran if name in inference.ran_on}))
        return ok("provider", f"{', '.join(ran)} run where they were meant to{f': {used}' if used else ''}")
    name, why = next(iter(lacks.items()))
    return warn("provider", f"{name}: {why}", remedy("provider"))


def _install(python: PythonFacts, numpy: PackageFacts, board: Board, l4t: L4t | None) -> str:
    """JetPack 6 takes NVIDIA's own build, which alone knows its GPU; neither NumPy nor OpenCV is touched."""
    if board.family == "jetson" and l4t is not None and l4t.jetpack == "6":
        return remedy("jetson-onnxruntime", python=quoted(python.executable))
    return pip(python, ONNX, *kept_numpy(numpy))


def _one(python: PythonFacts, packages: str, cure: str) -> str:
    return remedy("one-onnxruntime", python=quoted(python.executable), packages=packages, install=cure)
