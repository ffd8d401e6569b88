"""How a bundle runs: one frozen ``Setting``, and the one place that says what is taken where nothing is told."""

from __future__ import annotations

import os
from dataclasses import dataclass

from fer_edge.contract.manifest import Manifest

MOST_THREADS = 4  # the boards' cores; on larger machines more bring these small networks nothing


@dataclass(frozen=True)
class Setting:
    """Which variant of the classifier runs, on how many threads (the detector too), behind which detector."""

    variant: str
    threads: int
    detector: str


def usable_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def default_threads() -> int:
    """All usable cores, up to four."""
    return min(MOST_THREADS, usable_cores())


def setting_for(
    manifest: Manifest, variant: str | None = None, threads: int | None = None, detector: str | None = None
) -> Setting:
    """What was told, and the defaults for the rest: the manifest's variant, its first detector, ``default_threads``.

    Raises:
        SchemaError: the bundle has no such variant or detector.
    """
    return Setting(manifest.variant(variant).id, threads or default_threads(), manifest.find_detector(detector).id)
