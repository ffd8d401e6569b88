"""Spans of a trace: what ran when in which thread, as Chrome and Perfetto read it.

Trace Event Format (docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU): complete events ("X"),
instants ("i"), counters ("C") and names of threads ("M"); times in microseconds.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

Value = str | int | float | bool | None


class Span(NamedTuple):
    """Something that took time.

    Attributes:
        name: of it.
        thread: the system's number of the thread, or one of ``Recorder.track``.
        start_s: of ``time.perf_counter``.
        end_s: likewise.
        more: what else is to be shown.
    """

    name: str
    thread: int
    start_s: float
    end_s: float
    more: Mapping[str, Value]


class Recorder:
    """Collects spans from any thread while ``is_on``."""

    spans: list[Span]
    counts: list[tuple[str, float, float]]  # name, time in s, value
    is_on: bool

    def __init__(self) -> None:
        self.spans, self.counts, self.is_on = [], [], False
        self._names: dict[int, str] = {}  # of threads, which may have ended when the trace is written
        self._tracks: dict[str, int] = {}

    def add(self, name: str, start_s: float, end_s: float, thread: int | None = None, **more: Value) -> None:
        """Adds a span of this thread, or of a track."""
        if self.is_on:
            if thread is None:
                thread = threading.get_native_id()
                if thread not in self._names:
                    self._names[thread] = threading.current_thread().name
            self.spans.append(Span(name, thread, start_s, end_s, more))

    def count(self, name: str, value: float) -> None:
        """Adds a value at this moment, drawn as a curve."""
        if self.is_on:
            self.counts.append((name, time.perf_counter(), value))

    def track(self, name: str) -> int:
        """A row of its own for what no thread does, e.g. a frame that waits; the same for the same name."""
        return self._tracks.setdefault(name, -1 - len(self._tracks))

    @contextmanager
    def span(self, name: str, **more: Value) -> Iterator[None]:
        """The time inside."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, started, time.perf_counter(), None, **more)

    def document(self, about: Mapping[str, Value], main: str = "main") -> dict[str, object]:
        """The trace, to be written as JSON; times from the first span on.

        Args:
            about: of what it is.
            main: name of the main thread, which Python calls MainThread.
        """
        process, zero_s = os.getpid(), min((span.start_s for span in self.spans), default=0.0)
        # a track's number follows the processes' own: a viewer takes no negative one
        first_free = max([process, *self._names]) + 1

        def row(thread: int) -> int:
            return thread if thread >= 0 else first_free - 1 - thread

        names = {row(track): name for name, track in self._tracks.items()}
        names |= {thread: main if name == "MainThread" else name for thread, name in self._names.items()}
        events: list[dict[str, object]] = [_meta("process_name", process, process, "fer-edge")]
        for order, (thread, name) in enumerate(sorted(names.items(), key=lambda pair: pair[0] != process)):
            events.append(_meta("thread_name", process, thread, name))
            order_of = {"name": "thread_sort_index", "ph": "M", "pid": process, "tid": thread}
            events.append({**order_of, "args": {"sort_index": order}})
        for span in sorted(self.spans, key=lambda span: (span.start_s, -span.end_s)):
            place = {"name": span.name, "cat": "fer-edge", "pid": process, "tid": row(span.thread)}
            start_ns, end_ns = (round((at_s - zero_s) * 1e9) for at_s in (span.start_s, span.end_s))
            times = {
                "ts": start_ns / 1000,
                "dur": (end_ns - start_ns) / 1000,
            }  # one that ends as another begins does so
            events.append({**place, "ph": "X", **times, "args": dict(span.more)})
        for name, at_s, value in self.counts:
            where = {"name": name, "ph": "C", "pid": process, "tid": process}
            events.append({**where, "ts": round(max(0.0, at_s - zero_s) * 1e9) / 1000, "args": {name: value}})
        return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": dict(about)}


def _meta(kind: str, process: int, thread: int, name: str) -> dict[str, object]:
    return {"name": kind, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}
