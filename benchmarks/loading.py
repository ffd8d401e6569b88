"""How long a mixed network takes to load, first and from the cache, against the plain int8 file of the same bundle.

    .venv-device/bin/python benchmarks/loading.py dist/hawqc_mbv2

Two spans, in turns, as ratios of medians: from the bundle's folder to the first answer (`open_bundle`, digests of all
files, decoding, interpreter, one inference), and of the network's file alone (read, check, decode, interpreter).
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np

from fer_edge.classifier.runner import LiteRunner
from fer_edge.contract.bundle import open_bundle
from written import write

ROUNDS = 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    bundle = parser.parse_args().bundle
    lines = [
        "# Loading a mixed network",
        "",
        f"`benchmarks/loading.py`; medians of {ROUNDS} rounds in turns, as ratios to the plain int8 file.",
        "",
        "| span | int8 | mixed, first | mixed, cached |",
        "|---|---|---|---|",
    ]
    for name, load in (("bundle to first answer", whole), ("network file alone", network_only)):
        times: dict[str, list[float]] = {"int8": [], "mixed, first": [], "mixed, cached": []}
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as cache:
                os.environ["FER_EDGE_CACHE"] = cache
                times["int8"].append(load(bundle, "int8"))
                times["mixed, first"].append(load(bundle, "mixed"))
                times["mixed, cached"].append(load(bundle, "mixed"))
        plain = statistics.median(times["int8"])
        ratios = " | ".join(f"{statistics.median(each) / plain:.2f}" for each in times.values())
        lines.append(f"| {name} | {ratios} |")
    write(Path(__file__).parent / "results" / "loading.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


def timed(action: Callable[[], object]) -> float:
    """Seconds."""
    start = perf_counter()
    action()
    return perf_counter() - start


def whole(path: Path, variant_id: str) -> float:
    """From the folder to the first answer."""

    def load() -> None:
        bundle = open_bundle(path)
        variant = bundle.manifest.variant(variant_id)
        LiteRunner(bundle.read(variant.file), variant).raw(np.zeros(variant.input.shape, np.float32))

    return timed(load)


def network_only(path: Path, variant_id: str) -> float:
    """Of an opened bundle's network."""
    bundle = open_bundle(path)
    variant = bundle.manifest.variant(variant_id)
    return timed(lambda: LiteRunner(bundle.read(variant.file), variant))


if __name__ == "__main__":
    main()
