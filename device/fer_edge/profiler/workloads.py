"""What can be measured: the network alone, the pipeline over frames in memory, or the pipeline behind a camera."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fer_edge.classifier.runner import open_runner
from fer_edge.classifier.runtime import RunsOn
from fer_edge.contract.bundle import Bundle
from fer_edge.errors import UsageError
from fer_edge.pipeline import Pipeline, open_pipeline
from fer_edge.profiler.memory import own_bytes
from fer_edge.setting.setting import Setting
from fer_edge.sources import open_source
from fer_edge.tracking.track import TrackSettings
from fer_edge.types import Frame, FrameSource

Mode = Literal["model", "pipeline", "camera"]
N_FRAMES = 16  # held in memory and repeated; they count in the process' memory
N_INPUTS = 16


@dataclass(frozen=True)
class Subject:
    """What is measured: a bundle and how it runs."""

    bundle: Bundle
    setting: Setting
    tiles: tuple[int, ...] = ()


class ModelWork:
    """The classifier alone on random inputs, one at a time."""

    network_bytes: int | None
    runs_on: RunsOn

    headline = "infer"

    def __init__(self, subject: Subject) -> None:
        variant = subject.bundle.manifest.variant(subject.setting.variant)
        content = subject.bundle.read(variant.file)
        inputs = np.random.default_rng(0).normal(size=(N_INPUTS, 1, *variant.input_hwc)).astype(np.float32)
        before = own_bytes()
        self._runner = open_runner(content, variant, subject.setting.threads, subject.setting.provider)
        self.runs_on = self._runner.runs_on
        self._runner(inputs[0])
        self.network_bytes = _growth(before)
        self._inputs = itertools.cycle(inputs)

    def step(self) -> dict[str, float]:
        """See ``Workload.step``."""
        row = next(self._inputs)
        started = time.perf_counter()
        self._runner(row)
        return {"infer": (time.perf_counter() - started) * 1000}


class PipelineWork:
    """Detect, align and infer over the first frames of a source, held in memory and repeated.

    Raises:
        UsageError: the source has no frame, or none with a face, so that align and infer would never run.
    """

    pipeline: Pipeline
    network_bytes: int | None
    note: str
    n_inferences: int
    n_steps: int
    runs_on: RunsOn

    headline = "total"

    def __init__(self, subject: Subject, source: str) -> None:
        frames = list(itertools.islice(_closing(source), N_FRAMES))
        if not frames:
            raise UsageError(f"source {source}: no frames in it; expected a source with faces, e.g. synthetic://")
        before = own_bytes()
        self.pipeline = _open(subject)
        self.runs_on = self.pipeline.runner.runs_on
        n_faces = [len(self.pipeline.read_frame(frame).faces) for frame in frames]
        self.network_bytes = _growth(before)
        if not any(n_faces):
            raise UsageError(
                f"source {source}: no faces in its frames; expected a source with faces, e.g. synthetic://"
            )
        empty = n_faces.count(0)
        self.note = f"align and infer ran in {len(frames) - empty} of {len(frames)} frames" if empty else ""
        self._frames = itertools.cycle(frames)
        self.n_inferences = self.n_steps = 0

    def step(self) -> dict[str, float]:
        """See ``Workload.step``."""
        frame = next(self._frames)
        started = time.perf_counter()
        reading = self.pipeline.read_frame(frame)
        total_ms = (time.perf_counter() - started) * 1000
        self.n_steps, self.n_inferences = self.n_steps + 1, self.n_inferences + len(reading.faces)
        return {**reading.stage_ms, "total": total_ms}


class CameraWork:
    """The pipeline as ``fer-edge run`` runs it (faces are followed), behind a source that sets the pace.

    ``wait`` is the time until a frame came, ``total`` the pipeline's own, ``age`` from capture to the end.
    """

    pipeline: Pipeline
    network_bytes: int | None
    n_inferences: int
    n_steps: int
    runs_on: RunsOn

    headline = "total"

    def __init__(self, subject: Subject, source: FrameSource) -> None:
        before = own_bytes()
        self.pipeline = _open(subject, TrackSettings())
        self.runs_on = self.pipeline.runner.runs_on
        self.source = source
        self._frames = iter(source)
        self.pipeline.read_frame(next(self._frames))
        self.network_bytes = _growth(before)
        self.n_inferences = self.n_steps = 0

    def step(self) -> dict[str, float]:
        """See ``Workload.step``."""
        asked = time.perf_counter()
        frame = next(self._frames)
        started = time.perf_counter()
        reading = self.pipeline.read_frame(frame)
        ended = time.perf_counter()
        self.n_steps += 1
        self.n_inferences += "infer" in reading.stage_ms
        return {
            **reading.stage_ms,
            "total": (ended - started) * 1000,
            "wait": (started - asked) * 1000,
            "age": (reading.published().age_s or 0.0) * 1000,
        }


def _open(subject: Subject, tracking: TrackSettings | None = None) -> Pipeline:
    return open_pipeline(subject.bundle, subject.setting, subject.tiles, tracking)


def _closing(text: str) -> Iterator[Frame]:
    source = open_source(text)
    try:
        yield from source
    finally:
        source.close()


def _growth(before: int | None) -> int | None:
    after = own_bytes()
    return None if before is None or after is None else max(0, after - before)
