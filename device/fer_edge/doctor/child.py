"""Tries an import or the networks in a process of its own: a wheel built for a newer CPU dies of SIGILL.

``ask`` is the parent's side; ``main`` the child's, which prints one JSON line after each step.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fer_edge.contract.bounds import DOCTOR_S as TIMEOUT_S
from fer_edge.program import child
from fer_edge.program.child import say


def ask(what: str, *arguments: str) -> tuple[list[dict[str, Any]], str]:
    """Runs ``main`` in a child, see ``program.child.ask``."""
    return child.ask(__name__, what, *arguments, wall_s=TIMEOUT_S)


def main(arguments: list[str]) -> None:
    """``import MODULE DISTRIBUTION…``, ``interpreter``, ``onnxruntime`` or ``networks BUNDLE``."""
    what, *rest = arguments
    if what == "import":
        say(**_tried(rest[0], rest[1:]))
    elif what == "interpreter":
        _interpreter()
    elif what == "onnxruntime":
        _onnxruntime()
    elif what == "networks":
        _networks(Path(rest[0]))


def _tried(module_name: str, distributions: list[str]) -> dict[str, Any]:
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        is_absent = isinstance(error, ModuleNotFoundError) and error.name == module_name
        return {"problem": _line(error), "is_absent": is_absent}
    except Exception as error:  # an import may raise anything: an ABI mismatch is a ValueError or SystemError
        return {"problem": _line(error), "is_absent": False}
    found: dict[str, Any] = {"version": str(getattr(module, "__version__", "")), "file": str(module.__file__)}
    names = _brought_by(str(module.__file__), distributions)
    if module_name == "cv2" and len(names) > 1:  # each wrote over the other's files; the last one left its mark
        written = importlib.import_module("cv2.version")
        contrib, headless = getattr(written, "contrib", False), getattr(written, "headless", False)
        name = f"opencv-{'contrib-' * bool(contrib)}python{'-headless' * bool(headless)}"
        found["rivals"] = [f"{other} {importlib.metadata.version(other)}" for other in names if other != name]
        names = [name]
    if names:
        found["distribution"] = names[0]
    if module_name == "cv2":
        found["has_gstreamer"] = any(
            line.split(":")[0].strip() == "GStreamer" and "YES" in line
            for line in module.getBuildInformation().splitlines()
        )
    return found


def _brought_by(file: str, distributions: list[str]) -> list[str]:
    """Which of these packages lists this file as its own; one that lists no files counts if nobody else does."""
    owners, silent, wanted = [], [], Path(file).resolve()
    for name in distributions:
        try:
            files = importlib.metadata.files(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if not files:
            silent.append(name)
        elif any(path.name == wanted.name and Path(str(path.locate())).resolve() == wanted for path in files):
            owners.append(name)
    return owners or silent[:1]


def _interpreter() -> None:
    """What fer-edge takes; a better one that is installed and does not import is a problem, not a second choice."""
    from fer_edge.classifier.runtime import CANDIDATES, find_runtime
    from fer_edge.errors import RunnerError

    for distribution, module_name in CANDIDATES:
        tried = _tried(module_name, [distribution])
        if not tried.get("problem"):
            break
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            version = importlib.metadata.version(distribution)
            return say(problem=f"{distribution} {version} is installed but broken: {tried['problem']}")
    try:
        runtime = find_runtime()
    except RunnerError as error:
        return say(problem=str(error), is_absent=True)
    return say(distribution=runtime.name, version=runtime.version, file=str(runtime.module.__file__))


def _onnxruntime() -> None:
    """With the providers that it was built with; its telemetry is off before it is imported."""
    from fer_edge.classifier.onnx_runtime import DISTRIBUTIONS, NAME, available, silence

    silence()
    found = _tried(NAME, list(DISTRIBUTIONS))
    if not found.get("problem"):
        names = _installed(DISTRIBUTIONS)
        found |= {"providers": available(), "rivals": [name for name in names if name != found.get("distribution")]}
    say(**found)


def _installed(distributions: Sequence[str]) -> list[str]:
    found = []
    for name in distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version(name)
            found.append(name)
    return found


def _networks(path: Path) -> None:
    """Loads each variant, the default first, and runs it once on a mid-gray picture."""
    import numpy as np

    from fer_edge.classifier.runner import open_runner
    from fer_edge.contract.bundle import open_bundle

    bundle = open_bundle(path)
    default = bundle.manifest.default_variant
    for variant in sorted(bundle.manifest.variants, key=lambda variant: variant.id != default):
        say(started=variant.id)
        lacks, provider = "", None
        try:
            runner = open_runner(bundle.read(variant.file), variant)
            outputs = runner(np.zeros((1, *variant.input_hwc), np.float32))
            good = all(math.isfinite(value) for value in outputs.ravel().tolist())
            problem, lacks = "" if good else "its outputs are not finite", runner.runs_on.lacks
            provider = runner.runs_on.provider
        except Exception as error:  # whatever a network raises here is the finding
            problem = _line(error)
        say(variant=variant.id, problem=problem, lacks=lacks, provider=provider)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]
