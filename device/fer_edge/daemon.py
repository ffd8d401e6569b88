"""The loop of ``fer-edge run``: frames in, readings out, ended cleanly by a signal, a summary at the end."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from fer_edge.pipeline import Pipeline
from fer_edge.sinks.jsonl import JsonlSink
from fer_edge.types import Frame, FrameSource


@dataclass
class Summary:
    """What a run did."""

    frames: int = 0
    faces: int = 0
    frames_with_face: int = 0
    dropped: int = 0
    seconds: float = 0.0
    stage_ms: dict[str, float] = field(default_factory=dict)
    ended_by: str = "end of source"

    def __str__(self) -> str:
        fps = self.frames / self.seconds if self.seconds else 0.0
        stages = ", ".join(f"{name} {ms / max(1, self.frames):.1f}" for name, ms in self.stage_ms.items())
        return (
            f"{self.ended_by}: {self.frames} frames in {self.seconds:.1f} s ({fps:.1f} per second), "
            f"{self.dropped} dropped, {self.faces} faces, a face in {self.frames_with_face}; "
            f"mean ms a frame: {stages or 'none'}"
        )


def run(source: FrameSource, pipeline: Pipeline, sink: JsonlSink | None, max_frames: int | None = None) -> Summary:
    """Reads frames until the source ends, ``max_frames`` are read, SIGINT or SIGTERM comes, or the reader goes away.

    Raises:
        SourceError: the source was lost.
    """
    summary, started = Summary(), time.monotonic()
    with _ended_by_signal(source, summary), _finished(source) as frames:
        for frame in frames:
            reading = pipeline.read_frame(frame)
            summary.frames += 1
            summary.faces += len(reading.faces)
            summary.frames_with_face += bool(reading.faces)
            for name, ms in reading.stage_ms.items():
                summary.stage_ms[name] = summary.stage_ms.get(name, 0.0) + ms
            if sink is not None:
                try:
                    sink.publish(reading)
                except BrokenPipeError:
                    summary.ended_by = "the reader of the output went away"
                    source.close()
                    break
            if summary.frames == max_frames:
                summary.ended_by = f"--max-frames {max_frames}"
                source.close()
                break
    summary.seconds = time.monotonic() - started
    summary.dropped = source.dropped
    return summary


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """While no frame is there yet, SIGTERM ends the process with status 0, through every ``finally`` on the way."""

    def end(_: int, __: FrameType | None) -> None:
        print("fer-edge: SIGTERM: before the first frame", file=sys.stderr)
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _finished(source: FrameSource) -> Iterator[Iterator[Frame]]:
    """The source's frames; on leaving, the source's own clean-up has run: a camera is closed and not just let go."""
    frames = iter(source)
    try:
        yield frames
    finally:
        source.close()
        if isinstance(frames, Generator):
            frames.close()


@contextmanager
def _ended_by_signal(source: FrameSource, summary: Summary) -> Iterator[None]:
    """SIGINT and SIGTERM close the source; the frame in work is finished and published."""

    def end(number: int, _: FrameType | None) -> None:
        summary.ended_by = signal.Signals(number).name
        source.close()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
