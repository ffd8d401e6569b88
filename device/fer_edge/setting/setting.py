"""How a bundle runs: one frozen ``Setting``, and the one place that says what is taken where nothing is told."""

from __future__ import annotations

import os
from dataclasses import dataclass

from fer_edge.contract.manifest import Manifest

MOST_THREADS = 4  # the boards' cores; on larger machines more bring these small networks nothing


@dataclass(frozen=True)
class Setting:
    """Which variant of the classifier runs, on how many threads (the detector too), behind which detector.

    ``detector`` is one of its names: ``blazeface_short``, or with ``.int8`` or ``.onnx`` behind it that form of it.
    ``min_score`` is the least score of a face, 0..1; None takes the detector's own. ``provider`` is onnxruntime's, one
    of ``classifier.providers.NAMES``; None takes the best of this board, and a tflite file has none.
    """

    variant: str
    threads: int
    detector: str
    min_score: float | None = None
    provider: str | None = None


def usable_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def default_threads() -> int:
    """All usable cores, up to four."""
    return min(MOST_THREADS, usable_cores())


def setting_for(
    manifest: Manifest,
    variant: str | None = None,
    threads: int | None = None,
    detector: str | None = None,
    min_score: float | None = None,
    provider: str | None = None,
) -> Setting:
    """What was told, and the defaults for the rest: the manifest's variant, its first detector, ``default_threads``.

    A detector's id alone stands for the form that the variant's runtime computes, if the bundle holds it.

    Raises:
        SchemaError: the bundle has no such variant or detector.
    """
    chosen = manifest.variant(variant)
    name = detector or manifest.detector.id
    spec = manifest.find_detector(name)  # refuses one that is not there
    if chosen.format == "onnx" and name == spec.id and f"{name}.onnx" in spec.names:
        name = f"{name}.onnx"
    return Setting(chosen.id, threads or default_threads(), name, min_score, provider)
