"""One ``fer-edge bench``: opens what is to be measured, measures it with everything around it, makes the documents."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fer_edge.board.commands import Run, run
from fer_edge.contract.bench import Accuracy, BenchDoc
from fer_edge.errors import UsageError
from fer_edge.profiler import interference, memory
from fer_edge.profiler.document import Measured, document
from fer_edge.profiler.measure import Plan, measure
from fer_edge.profiler.power import find_probe
from fer_edge.profiler.power.meter import align, read_meter
from fer_edge.profiler.sampler import Sampler
from fer_edge.profiler.workloads import CameraWork, Mode, ModelWork, PipelineWork, Subject
from fer_edge.types import FrameSource

IDLE_S = 2.0  # before and after, where power is measured
SETTLE_S = 0.5  # clocks and converters come down within


@dataclass(frozen=True)
class Request:
    """What to measure, and how.

    Args:
        subjects: measured interleaved where there are several.
        mode: see ``workloads``.
        plan: how long.
        source: of frames, for ``pipeline``.
        open_camera: for ``camera``.
        meter: a USB meter's CSV, read when the run is over.
        accuracy: of each setting, where it was measured.
        use_power: False leaves power alone.
        root: of /proc and /sys.
        command: runs vcgencmd and nvpmodel.
    """

    subjects: Sequence[Subject]
    mode: Mode
    plan: Plan
    source: str = "synthetic://?n=60"
    open_camera: Callable[[], FrameSource] | None = None
    meter: Path | None = None
    accuracy: Sequence[Accuracy | None] = ()
    use_power: bool = True
    root: Path = Path("/")
    command: Run = run


def bench(request: Request, progress: Callable[[str], None] | None = None) -> list[BenchDoc]:
    """Measures; one document per subject.

    Raises:
        EdgeError: something could not be opened, or there was nothing to measure.
    """
    if request.meter is not None and not request.meter.is_file():
        raise UsageError(f"--meter {request.meter}: no such file; expected the CSV that your meter is writing now")
    found = find_probe(request.root, request.command) if request.use_power else None
    probe = found.probe if found is not None and request.meter is None else None
    has_power = probe is not None or request.meter is not None
    memory.reset_peak()
    with contextlib.ExitStack() as opened:
        works = [_open(request, subject, opened) for subject in request.subjects]
        before = interference.look(request.root, request.command)
        with Sampler(probe, request.root) as sampler:
            idle_s = max(IDLE_S, 5 * probe.period_s) if probe is not None else IDLE_S
            idle = [_idle(idle_s)] if has_power else []
            load_starts_s = time.monotonic()
            recordings = measure(works, request.plan, progress)
            after = interference.look(request.root, request.command)
            if has_power:
                idle.append(_idle(idle_s))
    if len(recordings[0].ends_s) < 2 or recordings[0].n < 2:
        raise UsageError("source: it ended before there was anything to measure; expected at least 2 frames")
    power = sampler.power
    if request.meter is not None:
        power = align(read_meter(request.meter), load_starts_s)
    names = ("", "", found.note if found is not None else "power was not asked for")
    if probe is not None:
        names = (probe.name, probe.coverage, "")
    elif request.meter is not None:
        names = (f"meter {request.meter.name}", "what the meter's plug feeds: the whole board and its supply line", "")
    measured = Measured(
        request.mode, request.plan, before, after, sampler, power, *names, tuple(idle), secrets.token_hex(8), len(works)
    )
    documents = []
    for role, (subject, work, recording) in enumerate(zip(request.subjects, works, recordings, strict=True)):
        each = 1.0 if isinstance(work, ModelWork) else work.n_inferences / max(1, work.n_steps)
        notes = (work.note,) if isinstance(work, PipelineWork) and work.note else ()
        accuracy = request.accuracy[role] if request.accuracy else None
        documents.append(
            document(
                subject,
                recording,
                measured,
                work.runs_on,
                role,
                work.network_bytes if len(works) == 1 else None,  # a later one takes memory that is there already
                each,
                notes,
                accuracy,
                request.root,
            )
        )
    return documents


def _open(request: Request, subject: Subject, opened: contextlib.ExitStack) -> ModelWork | PipelineWork | CameraWork:
    if request.mode == "model":
        return ModelWork(subject)
    if request.mode == "pipeline":
        return PipelineWork(subject, request.source)
    if request.open_camera is None:
        raise UsageError("camera: none given; expected --camera or --source")
    source = request.open_camera()
    opened.callback(source.close)
    return CameraWork(subject, source)


def _idle(duration_s: float) -> tuple[float, float]:
    """Waits; from when to when nothing ran."""
    time.sleep(SETTLE_S)
    started = time.monotonic()
    time.sleep(duration_s)
    return started, time.monotonic()
