"""From recordings and samples to a ``fer-edge/bench/1`` document."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_edge import __version__
from fer_edge.board import identify as board
from fer_edge.board.emulation import emulation
from fer_edge.classifier.runtime import RunsOn
from fer_edge.contract.bench import (
    Accuracy,
    BenchDoc,
    Blocks,
    Histogram,
    Power,
    Precision,
    Runtime,
    Session,
    Signal,
    StageTiming,
    Throttled,
)
from fer_edge.profiler import interference, memory, statistics
from fer_edge.profiler.measure import Plan, Recording, precision
from fer_edge.profiler.power.energy import Energy, Sample, integrate
from fer_edge.profiler.sampler import Sampler, signal
from fer_edge.profiler.workloads import Mode, Subject

N_BINS = 48
SERIES_POINTS = 120
NOT_STAGES = ("wait", "age")  # of a camera: how long nothing was to do, and how old a reading is


@dataclass(frozen=True)
class Measured:
    """Everything that was seen around one or several recordings."""

    mode: Mode
    plan: Plan
    before: interference.Look
    after: interference.Look
    sampler: Sampler
    power: list[Sample]
    power_name: str
    power_coverage: str
    power_note: str
    idle: tuple[tuple[float, float], ...]  # from, to on the monotonic clock: nothing ran
    session: str
    n_roles: int


def document(
    subject: Subject,
    recording: Recording,
    measured: Measured,
    runs_on: RunsOn,
    role: int,
    network_bytes: int | None,
    inferences_a_frame: float,
    notes: tuple[str, ...] = (),
    accuracy: Accuracy | None = None,
    root: Path = Path("/"),
) -> BenchDoc:
    """One recording's document.

    Args:
        subject: what was measured.
        recording: its timings.
        measured: what happened around them.
        runs_on: what computed the classifier.
        role: which of the interleaved recordings it is, from 0.
        network_bytes: see ``Memory``.
        inferences_a_frame: how often the classifier ran a repetition, on average.
        notes: what was odd about the source.
        accuracy: see ``--accuracy``.
        root: of /proc and /sys.
    """
    manifest = subject.bundle.manifest
    variant, emulator = manifest.variant(subject.setting.variant), emulation(root)
    start_s, end_s = recording.start_s(), recording.ends_s[-1]
    stages = _stages(recording)
    energy = integrate(measured.power, start_s, end_s)
    tainted = (
        *notes,
        *((runs_on.lacks,) if runs_on.lacks else ()),
        *((f"emulated ({emulator}): these times say nothing about a board",) if emulator else ()),
        *interference.judge(measured.before, measured.after, measured.sampler.lowest_mhz),
    )
    ages = recording.times("age") if "age" in recording.stages else None
    return BenchDoc(
        board=board.board_name(root),
        cpu=board.cpu_name(root),
        governor=board.governor(root),
        threads=subject.setting.threads,
        runtime=Runtime(runs_on.name, runs_on.version, runs_on.provider, runs_on.lacks or None),
        bundle_sha256=subject.bundle.sha256,
        variant=variant.id,
        n=recording.n,
        warmup_n=recording.warmup_n,
        stages=stages,
        fps=_fps(recording, measured.mode),
        frame_age_ms={} if ages is None else _percentiles(ages),
        memory=memory.measure(manifest.files[variant.file].decoded_size_bytes, network_bytes, root),
        throttled=Throttled(measured.before.flags, measured.after.flags),
        tainted=tainted,
        emulated=bool(emulator),
        # interleaved runs share the probe's time, so that neither has a power of its own
        power=_power(measured, energy, recording, inferences_a_frame) if measured.n_roles == 1 else None,
        mode=measured.mode,
        model_id=manifest.model_id,
        scheme=variant.scheme,
        detector=None if measured.mode == "model" else subject.setting.detector,
        measured_at=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        fer_edge=__version__,
        kernel=board.kernel_release(root),
        power_mode=measured.before.throttle.power_mode or None,
        power_note=measured.power_note or None,
        session=Session(measured.session, "abcdefghijklmnopqrstuvwxyz"[role], measured.n_roles),
        precision=_precision(recording, measured.plan),
        blocks={name: _blocks(recording, name) for name in stages if len(recording.times(name)) == recording.n},
        histogram=_histogram(recording.times(recording.headline)),
        series=_series(recording, measured, energy, start_s),
        accuracy=accuracy,
        metrics=variant.metrics,
    )


def _stages(recording: Recording) -> dict[str, StageTiming]:
    """Stages that ran at least twice after the warm-up, the headline last."""
    names = [name for name in recording.stages if name not in (*NOT_STAGES, recording.headline)]
    timed = {name: recording.times(name) for name in (*names, recording.headline)}
    return {name: statistics.summarize(list(times)) for name, times in timed.items() if len(times) > 1}


def _fps(recording: Recording, mode: Mode) -> float:
    """What the machine can do; behind a camera, what came out of it."""
    if mode == "camera":
        return round(recording.n / (recording.ends_s[-1] - recording.start_s()), 3)
    return round(1000 / float(recording.times(recording.headline).mean()), 3)


def _percentiles(values: statistics.Floats) -> dict[str, float]:
    return {f"p{p}": round(float(np.percentile(values, p)), 3) for p in (50, 90, 95, 99)}


def _precision(recording: Recording, plan: Plan) -> Precision:
    found = precision(recording)
    reached = found.precision if np.isfinite(found.precision) else 10.0
    return Precision(
        headline=recording.headline,
        reached=round(reached, 5),
        warmup="given" if plan.warmup is not None else "detected",
        n_outliers=statistics.n_outliers(list(recording.times(recording.headline))),
        n_independent_blocks=found.n_blocks,
        wanted=None if plan.n is not None or plan.duration_s is not None else plan.precision,
        warmup_settled=recording.warmup_settled,
    )


def _blocks(recording: Recording, stage: str) -> Blocks:
    times, ends = recording.times(stage), recording.measured_ends_s()
    size, count = statistics.block_edges(len(times))
    values = statistics.in_blocks(times, size, count)
    at = statistics.in_blocks(ends, size, count)[:, -1] - recording.start_s()
    return Blocks(
        size,
        tuple(round(float(t), 4) for t in at),
        tuple(round(float(mean), 5) for mean in values.mean(axis=1)),
        tuple(round(float(median), 5) for median in np.median(values, axis=1)),
    )


def _histogram(times: statistics.Floats) -> Histogram:
    """Up to the 99th percentile in bins; the slow rest is counted, and its worst named."""
    lower, upper = float(times.min()), float(np.percentile(times, 99))
    upper = max(upper, lower * 1.001 + 1e-6)
    counts, _ = np.histogram(times[times <= upper], bins=N_BINS, range=(lower, upper))
    return Histogram(
        round(lower, 5),
        round(upper, 5),
        tuple(map(int, counts)),
        int((times > upper).sum()),
        round(float(times.max()), 4),
    )


def _series(recording: Recording, measured: Measured, energy: Energy | None, start_s: float) -> dict[str, Signal]:
    """Over time: repetitions a second, temperature, clock, power."""
    ends = recording.measured_ends_s() - start_s
    period = max(float(ends[-1]) / SERIES_POINTS, 0.25, 2 * float(np.max(np.diff(ends, prepend=0.0))))
    edges = np.arange(0.0, float(ends[-1]) + 1e-9, period)
    found: dict[str, Signal | None] = {"fps": None}
    if len(edges) > 2:
        counts, _ = np.histogram(ends, bins=edges)
        middles = (edges[:-1] + edges[1:]) / 2
        rates = tuple(round(float(count) / period, 3) for count in counts)
        found["fps"] = Signal("1/s", tuple(round(float(t), 3) for t in middles), rates)
    sampler = measured.sampler
    found["temperature"] = signal("°C", sampler.temperature, start_s)
    found["clock"] = signal("MHz", sampler.clock, start_s)
    found["memory"] = signal("MiB", sampler.memory, start_s)
    found["power"] = signal("W", measured.power, start_s, energy.gaps if energy else ())
    return {name: value for name, value in found.items() if value is not None}


def _power(measured: Measured, energy: Energy | None, recording: Recording, inferences_a_frame: float) -> Power | None:
    """None unless the probe covered the run and the idle time before it."""
    windows = [integrate(measured.power, *window) for window in measured.idle]
    idle = [window.mean_w for window in windows if window is not None]
    if energy is None or not idle:
        return None
    idle_w = sum(idle) / len(idle)
    duration_s = recording.ends_s[-1] - recording.start_s()
    gross = energy.mean_w * duration_s / recording.n * 1000  # mJ; the mean is over what was seen, gaps are in neither
    net = (energy.mean_w - idle_w) * duration_s / recording.n * 1000
    seen = [sample for sample in measured.power if sample.w is not None and sample.t_s >= recording.start_s()]
    each = inferences_a_frame
    return Power(
        probe=measured.power_name,
        coverage=measured.power_coverage,
        mean_w=round(energy.mean_w, 4),
        energy_mj_per_frame=round(gross, 4),
        idle_w=round(idle_w, 4),
        net_mj_per_frame=round(net, 4),
        energy_mj_per_inference=round(gross / each, 4) if each else None,
        net_mj_per_inference=round(net / each, 4) if each else None,
        n_samples=len(seen),
        rate_hz=round(len(seen) / energy.covered_s, 2),
        gap_s=round(sum(b - a for a, b in energy.gaps), 3),
    )
