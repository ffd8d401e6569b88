"""``fer-edge bench --trace``: one second of the daemon, every stage and sink as a span of the thread that did it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from fer_edge.board.identify import identify, kib_field, read_text
from fer_edge.classifier.runtime import find_runtime
from fer_edge.contract.whole import whole_file
from fer_edge.daemon.loop import Daemon
from fer_edge.errors import UsageError
from fer_edge.pipeline import open_pipeline, watched_stages
from fer_edge.profiler.spans import Recorder, Span, Value
from fer_edge.profiler.workloads import Subject
from fer_edge.sinks.csv_file import CsvSink
from fer_edge.sinks.fanout import QueuedSink
from fer_edge.sinks.jsonl import JsonlSink
from fer_edge.sinks.metrics import MetricsSink
from fer_edge.sinks.running import what_runs
from fer_edge.tracking.track import TrackSettings
from fer_edge.types import Frame, FrameReading, FrameSource, Sink, Status

TRACED_S = 1.0
WARMUP_S, WARMUP_FRAMES = 0.5, 5  # what is only done once is not in it: caches, arenas, the second opinion's networks
WAITS = "captured, waits for the pipeline"


class _Source(FrameSource):
    """A source whose frames are spans: how long each took to come, and what was then done with it."""

    def __init__(self, source: FrameSource, recorder: Recorder) -> None:
        self.name, self._source, self._recorder = source.name, source, recorder
        self._closed = False

    def __iter__(self) -> Iterator[Frame]:
        """The source's frames, until a second of them was recorded."""
        recorder, frames, n = self._recorder, iter(self._source), 0
        started = time.perf_counter()
        while True:
            asked = time.perf_counter()
            frame = next(frames, None)
            came = time.perf_counter()
            if frame is None:
                return
            if recorder.is_on and came - started >= TRACED_S:
                return
            recorder.add("wait for a frame" if frame.can_be_late else "capture", asked, came, frame=frame.index)
            if frame.can_be_late:  # t_capture_s is of another clock, which passes as fast
                age_s = max(0.0, time.monotonic() - frame.t_capture_s)
                recorder.add(WAITS, came - age_s, came, recorder.track(WAITS), frame=frame.index)
            index = frame.index
            yield frame
            del frame
            recorder.add("frame", came, time.perf_counter(), frame=index)
            recorder.count("resident memory, MiB", _resident_mib())
            n += 1
            if not recorder.is_on and n >= WARMUP_FRAMES and time.perf_counter() - started >= WARMUP_S:
                recorder.is_on, started = True, time.perf_counter()

    def close(self) -> None:
        """Closes the source."""
        self._source.close()


class _Sink:
    """A sink whose deliveries are spans.

    Args:
        sink: that does the work.
        recorder: gets the spans.
        what: names them.
    """

    def __init__(self, sink: Sink, recorder: Recorder, what: str) -> None:
        self._sink, self._recorder, self._what, self.name = sink, recorder, what, sink.name

    @property
    def dropped(self) -> int:
        """The sink's own."""
        return self._sink.dropped

    def publish(self, reading: FrameReading) -> None:
        """Hands on."""
        with self._recorder.span(self._what, frame=reading.frame.index, faces=len(reading.faces)):
            self._sink.publish(reading)

    def status(self, status: Status) -> None:
        """Hands on."""
        with self._recorder.span(f"{self._what}: status"):
            self._sink.status(status)

    def close(self) -> None:
        """Closes the sink."""
        self._sink.close()


class _Everything:
    """All sinks as one, so that their part of a frame is one span."""

    name = "all"

    def __init__(self, sinks: list[Sink], recorder: Recorder) -> None:
        self._sinks, self._recorder = sinks, recorder

    @property
    def dropped(self) -> int:
        """Over all of them."""
        return sum(sink.dropped for sink in self._sinks)

    def publish(self, reading: FrameReading) -> None:
        """To each, in order."""
        with self._recorder.span("publish", frame=reading.frame.index):
            for sink in self._sinks:
                sink.publish(reading)

    def status(self, status: Status) -> None:
        """To each, in order."""
        for sink in self._sinks:
            sink.status(status)

    def close(self) -> None:
        """Each."""
        for sink in self._sinks:
            sink.close()


def trace(subject: Subject, source: FrameSource) -> tuple[Recorder, dict[str, object]]:
    """Runs the daemon on a source for a second after a warm-up.

    Its sinks: readings as lines and as CSV, which go nowhere, and metrics.

    Args:
        subject: the bundle and how it runs; faces are followed, as ``run`` does.
        source: open; it is closed.

    Returns:
        What was recorded, and the trace as a document.

    Raises:
        EdgeError: the source ended before there was anything to record, or something could not be opened.
    """
    recorder, manifest = Recorder(), subject.bundle.manifest
    pipeline = open_pipeline(subject.bundle, subject.setting, subject.tiles, TrackSettings())
    running = what_runs(manifest, subject.setting, source.name)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(source.close)
        sinks: list[Sink] = []
        for sink in (JsonlSink(os.devnull, strict=False), CsvSink(os.devnull, manifest.labels, strict=False)):
            queued = QueuedSink(_Sink(sink, recorder, f"write {sink.name}"))
            cleanup.callback(queued.close)
            sinks.append(_Sink(queued, recorder, f"queue {sink.name}"))
        sinks.append(_Sink(MetricsSink(running, manifest.labels), recorder, "metrics"))
        cleanup.enter_context(watched_stages(recorder.add))
        daemon = Daemon(lambda _: _Source(source, recorder), source.name, pipeline, [_Everything(sinks, recorder)])
        daemon.run()
    if not recorder.spans:
        raise UsageError(
            f"source {source.name}: it ended before there was anything to trace; expected more than {WARMUP_S:g} s of "
            f"frames and {WARMUP_FRAMES} of them"
        )
    here = identify()
    about: dict[str, Value] = {
        "board": here.model,
        "runtime": str(find_runtime()),
        "bundle_sha256": subject.bundle.sha256,
        "variant": subject.setting.variant,
        "threads": subject.setting.threads,
        "detector": subject.setting.detector,
        "source": source.name,
    }
    return recorder, recorder.document(about)


def write(document: dict[str, object], path: Path) -> None:
    """The trace at ``path``, whole or not at all."""
    with whole_file(path) as file:
        file.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def as_table(spans: list[Span]) -> str:
    """One line per kind of span: how often, and mean and longest time; those that hold others first."""
    by_name: dict[str, list[float]] = {}
    for span in spans:
        by_name.setdefault(span.name, []).append((span.end_s - span.start_s) * 1000)
    rows = sorted(by_name.items(), key=lambda pair: -sum(pair[1]))
    lines = [f"{'span':<34}{'n':>6}{'mean ms':>10}{'max ms':>10}"]
    lines += [f"{name:<34}{len(ms):>6}{sum(ms) / len(ms):>10.2f}{max(ms):>10.2f}" for name, ms in rows]
    return "\n".join(lines)


def _resident_mib() -> float:
    return round((kib_field(read_text(Path("/proc/self/status")), "VmRSS") or 0) / (1 << 20), 1)
