"""Does a board's table of operators predict whole networks? Predicted against measured ms, on this machine.

python benchmarks/loop.py dist/hawqc_mbv2 [MORE.tflite …]    (in .venv; writes benchmarks/results/loop.md, exit status 1
beyond the bar)

Each network is predicted from operators timed alone, after a scale-and-offset fit on the other networks only. A second
column predicts from operators of other sizes only (75, 50, 25% of the channels), as for a network pruned later.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from clips import machine
from fer_edge.classifier.runtime import open_interpreter
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.contract.latency import EMPTY, LatencyDoc
from fer_edge.profiler import interference
from fer_edge.profiler.per_op import time_probes
from fer_host.boards import predict
from fer_host.boards.of_tflite import operators_of_tflite
from fer_host.boards.probes import write_probes
from fer_host.boards.times import OperatorTimes
from written import write

ROUNDS, WARMUP = 200, 10
BAR = 0.15


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("more", nargs="*", type=Path)
    arguments = parser.parse_args()
    bundle = open_bundle(arguments.bundle)
    with tempfile.TemporaryDirectory() as scratch:
        networks = [*_networks(bundle, Path(scratch)), *((path.stem, path) for path in arguments.more)]
        index = write_probes(networks, Path(scratch) / "probes")
        before = interference.look()
        measured = _measure(networks)
        table = time_probes(Path(scratch) / "probes", 1)
        again = _measure(networks)  # before and after the table: what drifted shows
        reasons = interference.judge(before, interference.look())
        shares = [row.share for row in index.rows if row.op != EMPTY]
        rows = _rows(networks, measured, again, table, shares)
    errors = sorted(abs(row[3]) for row in rows)
    estimated = sorted(abs(row[5]) for row in rows if row[5] is not None)
    text = _markdown(rows, table, reasons, statistics.median(errors), statistics.median(estimated))
    write(Path(__file__).parent / "results" / "loop.md", text)
    print(text)
    return int(statistics.median(errors) > BAR)


def _networks(bundle: Bundle, scratch: Path) -> list[tuple[str, Path]]:
    """The bundle's classifiers and its detectors."""
    manifest = bundle.manifest
    found = []
    for variant in manifest.variants:
        found.append((f"{manifest.model_id} {variant.id}", variant.file))
    for spec in (manifest.detector, *manifest.other_detectors):
        found += [(role.partition("/")[2], role) for role in spec.files if "pnet" not in role]  # pnet has no fixed size
    paths = []
    for name, role in found:
        path = scratch / f"{len(paths)}.tflite"
        path.write_bytes(bundle.read(role))
        paths.append((name, path))
    return paths


def _measure(networks: list[tuple[str, Path]]) -> list[float]:
    """Median ms of one run of each, one thread, interleaved."""
    calls: list[Any] = []
    random = np.random.default_rng(0)
    for name, path in networks:
        interpreter = open_interpreter(path.read_bytes(), name, 1)
        for detail in interpreter.get_input_details():
            values = random.normal(size=detail["shape"])
            scaled = values if np.dtype(detail["dtype"]).kind == "f" else np.clip(values * 40, -128, 127)
            interpreter.set_tensor(detail["index"], scaled.astype(detail["dtype"]))
        calls.append(interpreter.invoke)
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(-WARMUP, ROUNDS):
        for i, call in enumerate(calls):
            # twice, the second counts: a network finds its weights where its own last run left them, as on a device
            call()
            started = time.perf_counter()
            call()
            if turn >= 0:
                times[i].append((time.perf_counter() - started) * 1000)
    return [statistics.median(values) for values in times]


def _rows(
    networks: list[tuple[str, Path]],
    first: list[float],
    second: list[float],
    table: LatencyDoc,
    shares: list[float],
) -> list[tuple[str, float, float, float, float | None, float | None]]:
    """(name, measured ms, predicted, error, predicted from other sizes only, error)."""
    measured = [(a + b) / 2 for a, b in zip(first, second, strict=True)]
    smaller = dataclasses.replace(
        table, rows=tuple(row for row, share in zip(table.rows, shares, strict=True) if share < 1)
    )
    raw, times, others = predict.Fit(1.0, 0.0), OperatorTimes(table), OperatorTimes(smaller)
    operators = [operators_of_tflite(path) for _, path in networks]
    sums = [predict.predict(times, listed, raw).ms for listed in operators]
    rows = []
    for i, (name, _) in enumerate(networks):
        fit = predict.fit([(sums[j], measured[j]) for j in range(len(networks)) if j != i])
        predicted = predict.predict(times, operators[i], fit).ms
        other = predict.predict(others, operators[i], fit)
        estimate = None if other.unknown else other.ms
        error = None if estimate is None else estimate / measured[i] - 1
        rows.append((name, measured[i], predicted, predicted / measured[i] - 1, estimate, error))
    return rows


def _markdown(rows: Any, table: LatencyDoc, reasons: tuple[str, ...], error: float, estimated: float) -> str:
    lines = [
        "# Predicted against measured time of whole networks",
        "",
        f"`python benchmarks/loop.py dist/hawqc_mbv2`, {machine()}, {table.runtime.name} "
        f"{table.runtime.version}; medians of {ROUNDS}, before and after the table ({len(table.rows)} operators). Each "
        "network is predicted with a scale and an offset fitted on the others.",
        "",
        "| network | measured ms | predicted ms | error | from other sizes only | error |",
        "|---|---|---|---|---|---|",
    ]
    for name, measured, predicted, off, estimate, off2 in rows:
        right = "- | -" if estimate is None else f"{estimate:.3f} | {off2:+.1%}"
        lines.append(f"| {name} | {measured:.3f} | {predicted:.3f} | {off:+.1%} | {right} |")
    lines += ["", f"Median error {error:.1%} (bar: {BAR:.0%}); from other sizes only {estimated:.1%}.", ""]
    lines += [f"Tainted: {reason}." for reason in reasons]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
