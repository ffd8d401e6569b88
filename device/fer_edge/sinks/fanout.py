"""One reading to many sinks, none of which can delay a frame: slow ones get a queue and a thread of their own."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import ParamSpec

import numpy as np

from fer_edge.program.threads import GuardedThread
from fer_edge.types import FrameReading, Sink, Status

log = logging.getLogger(__name__)
P = ParamSpec("P")


class QueuedSink:
    """A slow sink behind a bounded queue: ``publish`` only puts, a thread of its own delivers.

    The newest are kept: where the queue is full, the oldest goes and is counted.

    Args:
        sink: has its ``publish``, ``status`` and ``close`` called in the thread alone. It gets readings without their
            pictures (blank ones of the same size that take no memory), which would fill a small board's memory.
        capacity: readings that may wait.
        close_s: longest time that ``close`` waits for those that still wait to be delivered.
    """

    name: str

    def __init__(self, sink: Sink, capacity: int = 64, close_s: float = 2.0) -> None:
        self.name, self._sink, self._capacity, self._close_s = sink.name, sink, capacity, close_s
        self._waiting: deque[FrameReading] = deque()
        self._status: Status | None = None
        self._wake = threading.Condition()
        self._closed, self._lost = False, 0
        self._reader_gone: BrokenPipeError | None = None
        self._thread = GuardedThread(f"sink {sink.name}", self._deliver)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Readings that the queue had no room for, and those that the sink itself dropped."""
        return self._lost + self._sink.dropped

    def publish(self, reading: FrameReading) -> None:
        """Queues a reading.

        Raises:
            BrokenPipeError: the reader of standard output has gone.
        """
        if self._reader_gone is not None:
            raise self._reader_gone
        reading = without_picture(reading)
        with self._wake:
            if self._closed:
                self._lost += 1
                return
            if len(self._waiting) == self._capacity:
                self._waiting.popleft()
                self._lost += 1
            self._waiting.append(reading)
            self._wake.notify()

    def status(self, status: Status) -> None:
        """Hands on the newest status."""
        with self._wake:
            self._status = status
            self._wake.notify()

    def close(self) -> None:
        """Delivers what waits for at most ``close_s``, drops and counts the rest."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.close(self._close_s)
        with self._wake:
            self._lost += len(self._waiting)
            self._waiting.clear()

    def _deliver(self) -> None:
        try:
            self._deliver_until_closed()
        except BrokenPipeError as error:
            self._reader_gone = error

    def _deliver_until_closed(self) -> None:
        while True:
            with self._wake:
                while not (self._waiting or self._status or self._closed):
                    self._wake.wait()
                reading = self._waiting.popleft() if self._waiting else None
                status, self._status = self._status, None
                done = self._closed and reading is None
            if status is not None:
                _call(self._sink, self._sink.status, status)
            if reading is not None and not _call(self._sink, self._sink.publish, reading):
                self._lost += 1
            if done:
                _call(self._sink, self._sink.close)
                return


def without_picture(reading: FrameReading) -> FrameReading:
    """The reading with a blank picture of the same size that takes no memory."""
    blank = np.broadcast_to(np.zeros((1, 1, 1), dtype=np.uint8), reading.frame.image.shape)
    return dataclasses.replace(reading, frame=dataclasses.replace(reading.frame, image=blank))


class Fanout:
    """Gives every reading to every sink, in order; an error in one is logged, counted and kept from the others.

    Args:
        sinks: each quick by itself, or in a ``QueuedSink``.
    """

    sinks: tuple[Sink, ...]

    name = "all"

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self.sinks = tuple(sinks)
        self._failed = {sink.name: 0 for sink in self.sinks}

    @property
    def dropped(self) -> int:
        """Over all sinks."""
        return sum(self.dropped_by_sink.values())

    @property
    def dropped_by_sink(self) -> dict[str, int]:
        """By the sink's name, for ``Status.dropped``."""
        return {sink.name: sink.dropped + self._failed[sink.name] for sink in self.sinks}

    def publish(self, reading: FrameReading) -> None:
        """Gives a reading to every sink.

        Raises:
            BrokenPipeError: the reader of standard output has gone, which ends a run.
        """
        for sink in self.sinks:
            if not _call(sink, sink.publish, reading):
                self._failed[sink.name] += 1

    def status(self, status: Status) -> None:
        """Gives the status to every sink."""
        for sink in self.sinks:
            _call(sink, sink.status, status)

    def close(self) -> None:
        """Closes every sink, whatever the others do."""
        for sink in self.sinks:
            _call(sink, sink.close)


class Together:
    """Gives every reading to every sink, in order; an error in one is the caller's: for files, which must be complete.

    Args:
        sinks: each quick enough to wait for.
    """

    sinks: tuple[Sink, ...]

    name = "files"

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self.sinks = tuple(sinks)

    @property
    def dropped(self) -> int:
        """Over all sinks."""
        return sum(sink.dropped for sink in self.sinks)

    def publish(self, reading: FrameReading) -> None:
        """Gives a reading to every sink; raises what one of them raises."""
        for sink in self.sinks:
            sink.publish(reading)

    def status(self, status: Status) -> None:
        """Gives the status to every sink."""
        for sink in self.sinks:
            sink.status(status)

    def close(self) -> None:
        """Closes every sink."""
        for sink in self.sinks:
            sink.close()


_said: dict[tuple[int, str], float] = {}
SAY_AGAIN_S = 60.0


def _call(sink: Sink, method: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> bool:
    """Calls a sink's method; False, and a log line at most once a minute, where it raised."""
    try:
        method(*args, **kwargs)
    except BrokenPipeError:
        raise
    except Exception as error:
        now, key = time.monotonic(), (id(sink), method.__name__)
        if now - _said.get(key, -SAY_AGAIN_S) >= SAY_AGAIN_S:
            _said[key] = now
            log.exception("sink %s: %s: %s: %s", sink.name, method.__name__, type(error).__name__, error)
        return False
    return True
