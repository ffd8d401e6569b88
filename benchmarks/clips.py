"""What the benchmarks of detectors and tracking share: clips held in memory, and how two readings of a clip agree."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fer_edge.pipeline import Pipeline
from fer_edge.sources import open_source
from fer_edge.types import FaceBox, FaceReading, Frame, FrameReading


@dataclass
class Run:
    """A clip's readings with the s that each frame took, decoding aside."""

    readings: list[FrameReading] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def fps(self) -> float:
        """Frames per second."""
        return len(self.seconds) / sum(self.seconds)


def load_clip(path: Path) -> list[Frame]:
    """All frames; decoded before anything is timed, since decoders work ahead on other cores."""
    source = open_source(str(path))
    try:
        return list(source)
    finally:
        source.close()


def fresh(frames: Sequence[Frame], offset_s: float = 0.0) -> Iterator[Frame]:
    """The frames as new arrays, which lie in the cache as a frame does that has just been decoded."""
    for frame in frames:
        yield Frame(frame.image.copy(), frame.index, frame.t_capture_s, frame.source, t_media_s=frame.t_s + offset_s)


def run_interleaved(pipelines: dict[str, Pipeline], frames: Sequence[Frame]) -> dict[str, Run]:
    """Every pipeline reads every frame, in turn, so that a change of the machine's load meets all alike."""
    runs = {name: Run() for name in pipelines}
    for pipeline in pipelines.values():
        pipeline.read_frame(frames[0])
        if pipeline.tracker is not None:
            pipeline.tracker.reset()
    for frame in frames:
        for name, pipeline in pipelines.items():
            (copy,) = fresh([frame])
            started = time.perf_counter()
            reading = pipeline.read_frame(copy)
            runs[name].seconds.append(time.perf_counter() - started)
            runs[name].readings.append(reading)
    return runs


def pairs(a: FrameReading, b: FrameReading, least_iou: float = 0.1) -> list[tuple[FaceReading, FaceReading]]:
    """The faces that both readings of a frame show: each face of ``a`` with the one of ``b`` that overlaps it most."""
    found = []
    for face in a.faces:
        other = max(b.faces, key=lambda o: overlap(face.face, o.face), default=None)
        if other is not None and overlap(face.face, other.face) >= least_iou:
            found.append((face, other))
    return found


def overlap(a: FaceBox, b: FaceBox) -> float:
    """IoU of two boxes."""
    from fer_edge.tracking.track import iou

    return iou(a.box, b.box)


def eye_error(a: FaceBox, b: FaceBox) -> float:
    """Mean distance of the eyes, in eye distances of ``a``."""
    eyes = math.dist(a.landmarks["right_eye"], a.landmarks["left_eye"])
    return float(np.mean([math.dist(a.landmarks[n], b.landmarks[n]) for n in ("right_eye", "left_eye")])) / eyes


def agreement(couples: Sequence[tuple[FaceReading, FaceReading]]) -> float:
    """Share of the pairs with the same label; NaN of none."""
    return float(np.mean([a.label == b.label for a, b in couples])) if couples else math.nan


def machine() -> str:
    """One line on where the figures come from."""
    return f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}, one thread, shared"
