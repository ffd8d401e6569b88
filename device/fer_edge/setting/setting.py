"""How a bundle runs: one frozen ``Setting``, and the one place that says what is taken where nothing is told."""

from __future__ import annotations

import os
from dataclasses import dataclass

from fer_edge.contract.manifest import Manifest

MOST_THREADS = 4  # the boards' cores; on larger machines more bring these small networks nothing


@dataclass(frozen=True)
class Setting:
    """Which variant of the classifier runs, on how many threads (the detector too), behind which detector.

    ``detector`` is one of its names: ``blazeface_short``, or ``blazeface_short.int8`` for that form of it.
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

    Raises:
        SchemaError: the bundle has no such variant or detector.
    """
    name = detector or manifest.detector.id
    manifest.find_detector(name)  # refuses one that is not there
    return Setting(manifest.variant(variant).id, threads or default_threads(), name, min_score, provider)
