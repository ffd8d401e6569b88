"""``fer-edge bench``: times the whole pipeline, or the network alone, and says on what."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator

import numpy as np

from fer_edge import board
from fer_edge.contract.bench import BenchDoc, Memory, Runtime, StageTiming, Throttled
from fer_edge.contract.bundle import Bundle
from fer_edge.emulation import emulation
from fer_edge.errors import UsageError
from fer_edge.pipeline import STAGES, open_pipeline
from fer_edge.runtime import find_runtime
from fer_edge.sources import open_source
from fer_edge.stats import summarize
from fer_edge.types import Frame

N_FRAMES = 16  # held in memory and repeated; they count in the process' memory
UNKNOWN = "unknown"  # throttling flags of a machine that has none that we read


def bench_model(bundle: Bundle, variant_id: str | None, threads: int, n: int, warmup_n: int) -> BenchDoc:
    """Times the classifier alone on random inputs, one at a time."""
    pipeline = open_pipeline(bundle, variant_id, threads)
    height, width = pipeline.variant.input_hw
    inputs = np.random.default_rng(0).normal(size=(16, 1, height, width, 3)).astype(np.float32)
    times = []
    for i in range(warmup_n + n):
        started = time.perf_counter()
        pipeline.runner(inputs[i % len(inputs)])
        times.append((time.perf_counter() - started) * 1000)
    infer = summarize(times[warmup_n:])
    return _document(bundle, variant_id, threads, n, warmup_n, {"infer": infer}, 1000 / infer.mean_ms)


def bench_pipeline(
    bundle: Bundle,
    variant_id: str | None,
    threads: int,
    n: int,
    warmup_n: int,
    source: str,
    tiles: tuple[int, ...],
    detector_id: str | None = None,
) -> BenchDoc:
    """Times detect, align and infer over the frames of a source, held in memory and repeated as needed.

    Raises:
        UsageError: the source has no frame with a face, so align and infer would never run.
    """
    frames = list(itertools.islice(_closing(source), N_FRAMES))
    if not frames:
        raise UsageError(f"source {source}: no frames in it; expected a source with faces, e.g. synthetic://")
    pipeline = open_pipeline(bundle, variant_id, threads, tiles, detector_id)
    stage_times: dict[str, list[float]] = {name: [] for name in STAGES}
    totals = []
    for i in range(warmup_n + n):
        frame = frames[i % len(frames)]
        started = time.perf_counter()
        reading = pipeline.read_frame(frame)
        total_ms = (time.perf_counter() - started) * 1000
        if i >= warmup_n:
            totals.append(total_ms)
            for name, ms in reading.stage_ms.items():
                stage_times[name].append(ms)
    if len(stage_times["infer"]) < 2:
        raise UsageError(f"source {source}: no faces in its frames; expected a source with faces, e.g. synthetic://")
    stages = {name: summarize(times) for name, times in stage_times.items()}
    stages["total"] = summarize(totals)
    n_faces = len(stage_times["infer"])
    odd = (f"align and infer ran in {n_faces} of {n} frames: the others had no face",) if n_faces < n else ()
    return _document(bundle, variant_id, threads, n, warmup_n, stages, 1000 / stages["total"].mean_ms, odd)


def _closing(text: str) -> Iterator[Frame]:
    source = open_source(text)
    try:
        yield from source
    finally:
        source.close()


def _document(
    bundle: Bundle,
    variant_id: str | None,
    threads: int,
    n: int,
    warmup_n: int,
    stages: dict[str, StageTiming],
    fps: float,
    odd: tuple[str, ...] = (),
) -> BenchDoc:
    variant = bundle.manifest.variant(variant_id)
    runtime = find_runtime()
    model_bytes = bundle.manifest.files[variant.file].decoded_size_bytes
    load = os.getloadavg()[0]
    busy = load > (os.cpu_count() or 1) * 0.5 + 1
    emulator = emulation()
    return BenchDoc(
        board=board.board_name(),
        cpu=board.cpu_name(),
        governor=board.governor(),
        threads=threads,
        runtime=Runtime(runtime.name, runtime.version),
        bundle_sha256=bundle.sha256,
        variant=variant.id,
        n=n,
        warmup_n=warmup_n,
        stages=stages,
        fps=round(fps, 3),
        frame_age_ms={},  # frames are in memory here: nothing is captured, so nothing ages
        memory=Memory(model_bytes, board.peak_rss_bytes(), board.pss_bytes()),
        throttled=Throttled(UNKNOWN, UNKNOWN),
        tainted=(
            *odd,
            *((f"emulated ({emulator}): these times say nothing about a board",) if emulator else ()),
            *((f"load average {load:.1f} on {os.cpu_count()} CPUs",) if busy else ()),
        ),
        emulated=bool(emulator),
    )


def format_table(document: BenchDoc) -> str:
    """The document for the terminal."""
    lines = [
        f"{document.board}, {document.cpu}, governor {document.governor}, {document.threads} thread(s), "
        f"{document.runtime.name} {document.runtime.version}",
        f"variant {document.variant}, bundle {document.bundle_sha256[:12]}, n = {document.n} "
        f"after {document.warmup_n} warm-up runs; power not measured",
        f"{'stage':10} {'mean':>8} {'p50':>8} {'p90':>8} {'p95':>8} {'p99':>8}  ms",
    ]
    for name, t in document.stages.items():
        lines.append(f"{name:10} {t.mean_ms:8.3f} {t.p50_ms:8.3f} {t.p90_ms:8.3f} {t.p95_ms:8.3f} {t.p99_ms:8.3f}")
    memory = document.memory
    pss = f", PSS {memory.pss_bytes / 1e6:.0f} MB" if memory.pss_bytes else ""
    lines.append(f"{document.fps:.1f} per second; peak RSS {memory.peak_rss_bytes / 1e6:.0f} MB{pss}")
    lines += [f"tainted: {reason}" for reason in document.tainted]
    return "\n".join(lines)
