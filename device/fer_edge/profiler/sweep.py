"""``bench --sweep``: every combination of some settings, interleaved in one process; which one is best here?"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fer_edge.board.identify import has_nvidia_gpu
from fer_edge.contract import codec
from fer_edge.contract.bench import BenchDoc
from fer_edge.contract.bundle import Bundle
from fer_edge.errors import RunnerError, UsageError
from fer_edge.profiler import report
from fer_edge.profiler.compare import compare
from fer_edge.profiler.session import Request, bench
from fer_edge.profiler.workloads import Mode, Subject
from fer_edge.setting.setting import usable_cores

SCHEMA = "fer-edge/sweep/1"
WHAT = ("variant", "threads", "detector", "provider")
MAX_SUBJECTS = 24  # all are in memory at once
MAX_THREADS = 8


@dataclasses.dataclass(frozen=True)
class SweepDoc:
    """All combinations of ``keys``, fastest first; measured interleaved, so that any two can be compared."""

    keys: tuple[str, ...]
    rows: tuple[BenchDoc, ...]


def combinations(what: str, base: Subject, mode: Mode) -> list[Subject]:
    """The subjects to measure.

    Args:
        what: "variant,threads,detector,provider" or a part of it; ``threads=1,2`` names the values. A tflite variant
            has no provider, and is measured once.
        base: everything that is not swept.
        mode: the network alone has no detector.

    Raises:
        UsageError: another word, values that are not there, or too many combinations.
    """
    manifest = base.bundle.manifest
    values: dict[str, Sequence[object]] = {
        "threads": thread_counts(),
        "variant": [variant.id for variant in manifest.variants],
        "detector": [name for spec in (manifest.detector, *manifest.other_detectors) for name in spec.names],
        "provider": providers_here() if "provider" in what and has_onnx(base.bundle) else ["cpu"],
    }
    chosen = {key: _named(key, given, values) for key, given in _words(what).items()}
    if mode == "camera":
        raise UsageError("--sweep: a camera's frames cannot be measured twice; expected --mode pipeline or model")
    if mode == "model" and "detector" in chosen:
        raise UsageError("--sweep detector: the network alone finds no faces; expected --mode pipeline")
    subjects: list[Subject] = []
    for combination in itertools.product(*chosen.values()):
        changes: dict[str, Any] = dict(zip(chosen, combination, strict=True))
        setting = dataclasses.replace(base.setting, **changes)
        if manifest.variant(setting.variant).format != "onnx":
            setting = dataclasses.replace(setting, provider=None)
        subject = dataclasses.replace(base, setting=setting)
        if subject not in subjects:
            subjects.append(subject)
    if len(subjects) > MAX_SUBJECTS:
        raise UsageError(f"--sweep {what}: {len(subjects)} combinations, expected at most {MAX_SUBJECTS}; name fewer")
    return subjects


def has_onnx(bundle: Bundle) -> bool:
    """Whether a bundle holds a variant for onnxruntime."""
    return any(variant.format == "onnx" for variant in bundle.manifest.variants)


def providers_here() -> list[str]:
    """Those of onnxruntime that could compute on this board, the CPU last; only that one without onnxruntime."""
    from fer_edge.classifier import onnx_runtime
    from fer_edge.classifier.providers import runnable

    try:
        return list(runnable(onnx_runtime.available(), has_nvidia_gpu()))
    except RunnerError:
        return ["cpu"]


def thread_counts() -> list[int]:
    """1, 2, 4 … up to the processors that this process may use."""
    usable = min(MAX_THREADS, usable_cores())
    counts = [count for count in (1, 2, 4, 8) if count < usable]
    return [*counts, usable]


def _words(what: str) -> dict[str, list[str]]:
    """Words by key: "threads=1,2,variant" gives threads 1 and 2, and all variants."""
    found: dict[str, list[str]] = {}
    last = ""
    for word in what.split(","):
        key, equals, value = word.partition("=")
        if key in WHAT:
            last = key
            found[key] = [value] if equals else []
        elif last and found[last] and not equals:
            found[last].append(word)
        else:
            raise UsageError(f"--sweep: found {word!r}, expected {', '.join(WHAT)}, or threads=1,2")
    return found


def _named(key: str, given: list[str], values: dict[str, Sequence[object]]) -> Sequence[object]:
    if not given:
        return values[key]
    if key == "threads":
        if not all(text.isdecimal() and 1 <= int(text) <= 64 for text in given):
            raise UsageError(f"--sweep threads={','.join(given)}: expected whole numbers from 1 to 64")
        return [int(text) for text in given]
    unknown = [text for text in given if text not in values[key]]
    if unknown:
        raise UsageError(f"--sweep {key}={unknown[0]}: the bundle has {', '.join(map(str, values[key]))}")
    return given


def run_sweep(request: Request, what: str, progress: Callable[[str], None] | None = None) -> SweepDoc:
    """Measures all subjects of the request; ``max_s`` is for each."""
    plan = request.plan
    if plan.duration_s is not None or request.meter is not None:
        raise UsageError("--sweep: found --soak or --meter too; expected one of them")
    longer = dataclasses.replace(plan, max_s=plan.max_s * len(request.subjects) / 2)
    documents = bench(dataclasses.replace(request, plan=longer), progress)
    rows = sorted(documents, key=lambda document: _headline(document)[1])
    return SweepDoc(tuple(_words(what)), tuple(rows))


def _headline(document: BenchDoc) -> tuple[str, float]:
    name = document.precision.headline if document.precision else next(reversed(document.stages))
    return name, document.stages[name].p50_ms


def dumps(document: SweepDoc) -> str:
    """As JSON text."""
    return codec.dumps(SCHEMA, document)


def loads(text: str | bytes) -> SweepDoc:
    """From JSON text; raises SchemaError with the field's path."""
    return codec.loads(SCHEMA, SweepDoc, text)


def write(document: SweepDoc, path: Path) -> None:
    """As JSON, or as the table in a Markdown block."""
    report.check_targets([path])
    report.write_text(path, dumps(document) if path.suffix == ".json" else f"```\n{as_table(document)}\n```\n")


def as_table(document: SweepDoc) -> str:
    """One line per subject; those that cannot be told from the fastest say so."""
    best = document.rows[0]
    lines = [
        f"{best.board}, {best.cpu}; all interleaved, n = {best.n} each",
        f"{'variant':9} {'runtime':26} {'threads':>7} {'detector':16} {'p50':>8} {'p95':>8}  ms   accuracy   "
        "against the fastest",
    ]
    for row in document.rows:
        name, p50 = _headline(row)
        known = row.accuracy or (row.metrics[0] if row.metrics else None)  # measured here goes before
        accuracy = f"{known.accuracy:.2%}" if known else "-"
        words = "fastest"
        if row is not best:
            found = compare(best, row, across_boards=True)
            words = f"{(found.ratio - 1) * 100:+.0f}%" if found.verdict == "slower" else "cannot tell"
        lines.append(
            f"{row.variant:9} {report.computed_by(row):26} {row.threads:7} {row.detector or '-':16} "
            f"{p50:8.3f} {row.stages[name].p95_ms:8.3f}      "
            f"{accuracy:>8}   {words}"
        )
    lines += [
        f"tainted: {reason}" for reason in dict.fromkeys(reason for row in document.rows for reason in row.tainted)
    ]
    return "\n".join(lines)
