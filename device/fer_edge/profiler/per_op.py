"""``bench --per-op``: times networks of one operator each, made by ``fer-host probes``, into a latency table.

In a network an operator finds its input in the cache, because the one before it just wrote it there: each probe runs
twice in a row, and the second time counts. Rounds over all probes spread what disturbs the machine over all of them.
"""

from __future__ import annotations

import datetime
import hashlib
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.board import identify as board
from fer_edge.board.emulation import emulation
from fer_edge.classifier.runtime import find_runtime, open_interpreter
from fer_edge.contract.bench import Runtime
from fer_edge.contract.latency import EMPTY, INDEX_NAME, LatencyDoc, Probe, Row, load_probes
from fer_edge.contract.regular import read_regular
from fer_edge.errors import BundleError
from fer_edge.profiler import interference

ROUNDS, MIN_ROUNDS, WARMUP = 200, 30, 5
MAX_S = 120.0


def time_probes(folder: Path, threads: int, progress: Callable[[str], None] | None = None) -> LatencyDoc:
    """The table of this board.

    Args:
        folder: with ``probes.json`` and the files it names.
        threads: of the interpreters.
        progress: told how far it is.

    Raises:
        BundleError: no probes there, or a file that is not the one of the index.
        RunnerError: an operator that the interpreter cannot run.
    """
    index = folder / INDEX_NAME
    if not index.is_file():
        raise BundleError(f"probes {folder}: no {INDEX_NAME} there; make them on the host: fer-host probes BUNDLE")
    document = load_probes(read_regular(index))
    runs = [(probe, _open(folder, probe, threads)) for probe in document.rows]
    empty = [run for probe, run in runs if probe.op == EMPTY]
    before = interference.look()
    times = [array("d") for _ in runs]
    started = time.monotonic()
    for turn in range(-WARMUP, ROUNDS):
        if turn >= MIN_ROUNDS and time.monotonic() - started > MAX_S:
            break
        if progress is not None and turn % 10 == 0:
            progress(f"{len(runs)} operators, round {turn} of {ROUNDS}")
        for (_, invoke), values in zip(runs, times, strict=True):
            invoke()
            began = time.perf_counter()
            invoke()
            passed = time.perf_counter() - began
            if turn >= 0:
                values.append(passed * 1000)
    emulator, runtime = emulation(), find_runtime()
    medians = [round(float(np.median(values)), 6) for values in times]
    overheads = [medians[i] for i, (probe, _) in enumerate(runs) if probe.op == EMPTY]
    rows = tuple(
        Row(probe.op, probe.attrs, probe.in_shape, probe.out_shape, probe.dtype, medians[i], len(times[i]))
        for i, (probe, _) in enumerate(runs)
        if probe.op != EMPTY
    )
    return LatencyDoc(
        board=board.board_name(),
        runtime=Runtime(runtime.name, runtime.version),
        threads=threads,
        overhead_ms=overheads[0] if empty else 0.0,
        rows=rows,
        cpu=board.cpu_name(),
        governor=board.governor(),
        emulated=bool(emulator),
        tainted=(
            *((f"emulated ({emulator}): these times say nothing about a board",) if emulator else ()),
            *interference.judge(before, interference.look()),
        ),
        measured_at=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )


def _open(folder: Path, probe: Probe, threads: int) -> Callable[[], Any]:
    """The probe's ``invoke``, its inputs filled once with numbers of a usual size."""
    path = folder / probe.file
    if Path(probe.file).name != probe.file or not path.is_file():
        raise BundleError(f"probes {folder}: {probe.file} is missing; make them again: fer-host probes BUNDLE")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != probe.sha256:
        raise BundleError(f"probes {folder}: {probe.file} is not the file of the index; copy the folder again")
    interpreter = open_interpreter(content, f"probe {probe.file}", threads)
    random = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        shape, dtype = tuple(detail["shape"]), np.dtype(detail["dtype"])
        if dtype.kind == "f":
            values = random.normal(size=shape).astype(dtype)
        else:
            values = random.integers(0, 100, size=shape).astype(dtype)
        interpreter.set_tensor(detail["index"], values)
    invoke: Callable[[], Any] = interpreter.invoke
    return invoke


def as_table(document: LatencyDoc) -> str:
    """The slowest operators, and what all of them take together."""
    lines = [
        f"{document.board}, {document.cpu}, {document.runtime.name} {document.runtime.version}, "
        f"{document.threads} thread(s); {len(document.rows)} operators, a call alone {document.overhead_ms:.4f} ms",
        f"{'operator':18} {'input':>18} {'output':>18} {'attributes':32} {'ms':>8}",
    ]
    for row in sorted(document.rows, key=lambda row: -row.ms_p50)[:30]:
        shapes = ("x".join(map(str, row.in_shape)), "x".join(map(str, row.out_shape)))
        attrs = " ".join(value for value in row.attrs.values())
        lines.append(f"{row.op:18} {shapes[0]:>18} {shapes[1]:>18} {row.dtype + ' ' + attrs:32} {row.ms_p50:8.4f}")
    lines += [f"tainted: {reason}" for reason in document.tainted]
    return "\n".join(lines)
