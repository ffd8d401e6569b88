"""Prometheus metrics: base units, no label that grows with faces. The web server gives them out at ``/metrics``.

Format: https://github.com/prometheus/docs/blob/main/docs/instrumenting/exposition_formats.md (text 0.0.4).
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from fer_edge import __version__
from fer_edge.board.identify import identify
from fer_edge.program import threads
from fer_edge.sinks.running import Running
from fer_edge.types import FrameReading, Status

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
NONE: dict[str, str] = {}
STATES = ("running", "waiting", "stopped")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Histogram:
    """Counts of durations in ``BUCKETS_S`` and above, and their sum."""

    counts: list[int]
    sum_s: float

    def __init__(self) -> None:
        self.counts, self.sum_s = [0] * (len(BUCKETS_S) + 1), 0.0

    def add(self, value_s: float) -> None:
        """Counts one duration; the bounds belong to their bucket (le)."""
        self.counts[bisect_left(BUCKETS_S, value_s)] += 1
        self.sum_s += value_s

    def samples(self, name: str, labels: dict[str, str]) -> Iterable[str]:
        """Cumulative buckets, sum and count."""
        total = 0
        for bound, count in zip((*map(repr, BUCKETS_S), "+Inf"), self.counts, strict=True):
            total += count
            yield sample(f"{name}_bucket", total, labels | {"le": bound})
        yield sample(f"{name}_sum", round(self.sum_s, 6), labels)
        yield sample(f"{name}_count", total, labels)


class MetricsSink:
    """Adds up what was read; ``text`` gives it out.

    Args:
        running: what reads; labels of ``fer_edge_build_info``.
        labels: the classifier's, so that each expression is there from the start.
    """

    name = "metrics"
    dropped = 0

    def __init__(self, running: Running | None = None, labels: tuple[str, ...] = ()) -> None:
        self._lock, self._model = threading.Lock(), {"version": __version__}
        if running is not None:
            names = ("model", "model_version", "variant", "detector")
            self._model |= {name: getattr(running, name) for name in names}
        self._board = {"board": identify().model}
        self._frames = self._with_face = self._damaged = self._left_out = 0
        self._media_s: float | None = None
        self._faces = dict.fromkeys(labels, 0)
        self._age, self._stages = Histogram(), dict[str, Histogram]()
        self._status: Status | None = None
        self._captured_unix_s: float | None = None

    def publish(self, reading: FrameReading) -> None:
        """Counts a frame."""
        with self._lock:
            self._captured_unix_s = reading.captured_unix_s
            self._frames += 1
            self._with_face += bool(reading.faces)
            self._damaged += bool(reading.frame.damaged)
            self._left_out += reading.left_out
            self._media_s = reading.frame.t_media_s
            for face in reading.faces:
                self._faces[face.label] = self._faces.get(face.label, 0) + 1
            if reading.age_s is not None:
                self._age.add(reading.age_s)
            for stage, ms in reading.stage_ms.items():
                self._stages.setdefault(stage, Histogram()).add(ms / 1000)

    def status(self, status: Status) -> None:
        """Keeps the newest status."""
        self._status = status

    def close(self) -> None:
        """Nothing to free."""

    def text(self) -> str:
        """Everything, in the text format."""
        lines: list[str] = []
        with self._lock:
            add = lines.extend
            add(family("fer_edge_build_info", "gauge", "What is running; always 1.", [(self._model, 1)]))
            add(family("fer_edge_board_info", "gauge", "What it runs on; always 1.", [(self._board, 1)]))
            add(family("fer_edge_frames_total", "counter", "Frames read.", [(NONE, self._frames)]))
            with_face = [(NONE, self._with_face)]
            add(family("fer_edge_frames_with_face_total", "counter", "Frames with a face.", with_face))
            damaged = [(NONE, self._damaged)]
            add(family("fer_edge_frames_damaged_total", "counter", "Frames with holes or made-up parts.", damaged))
            left_out = [(NONE, self._left_out)]
            add(family("fer_edge_finds_left_out_total", "counter", "Finds that were no face.", left_out))
            if self._media_s is not None:
                place = [(NONE, round(self._media_s, 3))]
                add(family("fer_edge_media_seconds", "gauge", "Place of the newest frame in the clip.", place))
            faces = [({"expression": label}, n) for label, n in self._faces.items()]
            add(family("fer_edge_faces_total", "counter", "Faces read, by expression, over all frames.", faces))
            if self._captured_unix_s is not None:
                at = [(NONE, self._captured_unix_s)]
                add(family("fer_edge_last_capture_timestamp_seconds", "gauge", "Unix time of the newest frame.", at))
            add(family("fer_edge_frame_age_seconds", "histogram", "From a frame's capture to its reading.", []))
            add(self._age.samples("fer_edge_frame_age_seconds", {}))
            add(family("fer_edge_stage_seconds", "histogram", "Time a stage took for a frame.", []))
            for stage, histogram in self._stages.items():
                add(histogram.samples("fer_edge_stage_seconds", {"stage": stage}))
        if self._status is not None:
            lines.extend(_status_lines(self._status))
        lines.extend(_process_lines())
        return "\n".join(lines) + "\n"


def _status_lines(status: Status) -> Iterable[str]:
    states = [({"state": state}, int(state == status.state)) for state in STATES]
    yield from family("fer_edge_state", "gauge", "1 for the state that the camera is in.", states)
    dropped = [({"place": place}, n) for place, n in status.dropped.items()]
    yield from family("fer_edge_dropped_total", "counter", "Frames or readings dropped, by place.", dropped)
    corrupt = [(NONE, status.corrupt)]
    yield from family("fer_edge_frames_corrupt_total", "counter", "Frames that came and could not be used.", corrupt)
    back = [(NONE, status.reconnects)]
    yield from family("fer_edge_source_reconnects_total", "counter", "Times that a lost source came back.", back)
    if status.tells_throttling or status.throttled is not None:  # a board without such a sensor is not one that is well
        throttled = [(NONE, int(status.throttled is not None))]
        yield from family("fer_edge_throttled", "gauge", "1 while the board slows itself or lacks power.", throttled)
    rate = [(NONE, status.rate_factor)]
    yield from family("fer_edge_rate_ratio", "gauge", "1 at full rate, less while slowed by heat or load.", rate)
    errors = threads.errors()
    yield from family("fer_edge_errors_total", "counter", "Errors in the background.", [(NONE, sum(errors.values()))])
    failed = [({"thread": name}, n) for name, n in errors.items()]
    yield from family("fer_edge_thread_errors_total", "counter", "Errors of threads in the background.", failed)
    if status.temperature_c is not None:
        heat = [(NONE, status.temperature_c)]
        yield from family("fer_edge_temperature_celsius", "gauge", "Of the hottest zone of the board.", heat)


def _process_lines() -> Iterable[str]:
    """The standard metrics of a process, where /proc tells."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            resident = int(file.read().split()[1]) * _PAGE_BYTES
        descriptors = len(os.listdir("/proc/self/fd"))
    except (OSError, ValueError, IndexError):
        return
    cpu_s = round(time.process_time(), 3)
    yield from family("process_cpu_seconds_total", "counter", "User and system CPU time.", [(NONE, cpu_s)])
    yield from family("process_resident_memory_bytes", "gauge", "Resident memory.", [(NONE, resident)])
    yield from family("process_open_fds", "gauge", "Open file descriptors.", [(NONE, descriptors)])
    yield from family("process_threads", "gauge", "Python threads.", [(NONE, threading.active_count())])


def family(name: str, kind: str, about: str, samples: Sequence[tuple[Mapping[str, str], float]]) -> list[str]:
    """A metric's HELP, TYPE and samples; ``about`` is one line of plain text."""
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}", *(sample(name, value, ls) for ls, value in samples)]


def sample(name: str, value: float, labels: Mapping[str, str]) -> str:
    """One sample; label values are escaped."""
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {value}" if labels else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
