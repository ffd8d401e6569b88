"""The loop of ``fer-edge run``: source → pipeline → sinks, until the source ends, a signal comes or the web page says.

Nothing here waits for a sink or for the network. The watchdog is fed where a frame was read to the end and in each
slice of a deliberate wait (a lost camera, a camera that was stopped), nowhere else.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager

from fer_edge.board.health import HealthMonitor, Pacer
from fer_edge.daemon.notify import Notifier
from fer_edge.daemon.signals import SignalledWhileOpening, signals_handled
from fer_edge.daemon.summary import Counts, FrameRate, RunSummary
from fer_edge.daemon.switch import Switch
from fer_edge.pipeline import Pipeline
from fer_edge.program import threads
from fer_edge.sinks.fanout import Fanout
from fer_edge.sources.mailbox import LONGEST_WAIT_S
from fer_edge.types import Frame, FrameSource, Sink, State, Status

log = logging.getLogger(__name__)
STATUS_S = 1.0  # between two status snapshots
OnWait = Callable[[str], None]
Connect = Callable[[OnWait], FrameSource]


class Daemon:
    """One run, in the thread that calls ``run``.

    Args:
        connect: makes the source; is given what to call in each slice of a deliberate wait.
        name: of the source, for the status.
        pipeline: reads a frame.
        sinks: get every reading and, once a second, the status. An error in one stays there.
        strict_sink: gets every reading first; its error ends the run.
        notifier: speaks to systemd.
        health: says at which share of the full rate to run; None for the full rate.
        max_frames: to read at most.
        reload: reads the configuration again, on SIGHUP.
        switch: turned off, the source is let go until it is turned on again.
    """

    pipeline: Pipeline
    health: HealthMonitor | None

    def __init__(
        self,
        connect: Connect,
        name: str,
        pipeline: Pipeline,
        sinks: Iterable[Sink] = (),
        strict_sink: Sink | None = None,
        notifier: Notifier | None = None,
        health: HealthMonitor | None = None,
        max_frames: int | None = None,
        reload: Callable[[], None] = lambda: None,
        switch: Switch | None = None,
    ) -> None:
        self.pipeline, self.health = pipeline, health
        self._connect, self._name, self._max_frames, self._reload = connect, name, max_frames, reload
        self._fanout, self._strict_sink = Fanout(sinks), strict_sink
        self._notifier = notifier or Notifier({})
        self._summary = RunSummary()
        self._pacer = Pacer()
        self._switch = switch or Switch()
        self._switch.when_turned_off(self._cut_short)
        self._source: FrameSource | None = None
        self._ended = self._must_reload = False
        self._is_connecting = self._was_cut = self._is_crippled = False
        self._counts = Counts()  # of connections that are over
        self._state: State = "waiting"
        self._reason, self._since_s, self._status_at_s = "", time.monotonic(), -STATUS_S
        self._age_s: float | None = None
        self._rate = FrameRate()

    # -- the run -----------------------------------------------------------------------------------------------------

    def run(self) -> RunSummary:
        """Reads frames until the source ends, ``max_frames`` are read or a signal comes.

        Raises:
            SourceError: the source was lost and does not come back by itself.
            UsageError: the strict sink's.
        """
        started = time.monotonic()
        with signals_handled(self._end, self._ask_for_reload):
            try:
                while not self._ended:
                    if self._switch.is_off:
                        self._wait_for_start()
                    elif self._connection() and not self._switch.is_off:
                        break
            except SignalledWhileOpening:
                pass
            finally:
                self._notifier.stopping()
                self._enter("stopped", self._summary.ended_by)
        self._summary.seconds = time.monotonic() - started
        self._summary.dropped = self._counts.dropped
        self._summary.corrupt = self._counts.corrupt
        return self._summary

    def _connection(self) -> bool:
        """Reads from the source until it ends by itself (True), is closed, or enough is read."""
        self._pacer.forget()
        self._was_cut = False
        self._is_connecting = True
        try:
            self._source = source = self._connect(self._on_wait)
        finally:
            self._is_connecting = False
        try:
            with _finished(source) as frames:
                if self._ended or self._switch.is_off:  # meanwhile
                    source.close()
                for frame in frames:
                    goes_on = self._take(frame)
                    del frame  # before the next one is made
                    if not goes_on:
                        source.close()
                        break
        finally:
            self._source = None
            self._counts = self._counts.plus(source)
            self._summary.incomplete = self._summary.incomplete or source.incomplete
        return not (
            self._ended or self._switch.is_off or self._was_cut
        )  # stopped and started again at once: it was cut

    def _take(self, frame: Frame) -> bool:
        """One frame, from the source to the sinks; False where it was the last."""
        reading = self.pipeline.read_frame(frame)
        factor = self.health.rate_factor if self.health else 1.0
        if factor != 1 and frame.can_be_late:  # a file is read more slowly as well, but its readings stay the same
            reading = dataclasses.replace(reading, rate_factor=factor)
        reading = reading.published()
        self._summary.add(reading)
        try:
            if self._strict_sink is not None:
                self._strict_sink.publish(reading)
            self._fanout.publish(reading)
        except BrokenPipeError:
            self._summary.ended_by, self._ended = "the reader of the output went away", True
            return False
        now_s = time.monotonic()
        self._age_s = reading.age_s
        self._rate.add(now_s)
        self._progress()
        if self._state != "running":
            self._enter("running", "")
        self._tick()
        if self._summary.frames == self._max_frames:
            self._summary.ended_by, self._ended = f"--max-frames {self._max_frames}", True
            return False
        self._pause(self._pacer.wait_s(factor, now_s))
        return not (self._ended or self._switch.is_off)

    def _on_wait(self, reason: str) -> None:
        """Called in each slice of a wait for a lost source."""
        self._progress()
        if self._state != "waiting" or self._reason != reason:
            self._enter("waiting", reason)
        self._tick()

    def _progress(self) -> None:
        """Feeds the watchdog, unless a thread in the background is dead: then only a new process has them all."""
        dead = threads.dead()
        if not dead:
            self._notifier.progress()
        elif not self._is_crippled:
            self._is_crippled = True
            log.critical("ended unexpectedly: thread %s; the watchdog is not fed any more", ", ".join(dead))

    def _wait_for_start(self) -> None:
        self._enter("stopped", "stopped by hand")
        while self._switch.is_off and not self._ended:
            self._progress()
            self._tick()
            self._switch.wait(LONGEST_WAIT_S)
        self._enter("waiting", "the camera is being started")

    def _pause(self, wait_s: float) -> None:
        until = time.monotonic() + wait_s
        while not (self._ended or self._switch.is_off) and (left_s := until - time.monotonic()) > 0:
            self._switch.wait(min(left_s, LONGEST_WAIT_S))

    # -- status ------------------------------------------------------------------------------------------------------

    def status(self) -> Status:
        """A snapshot."""
        health, source = self.health, self._source
        counts = self._counts.plus(source)
        return Status(
            state=self._state,
            source=self._name,
            fps=self._rate.fps(time.monotonic()),
            frame_age_s=self._age_s,
            frames=self._summary.frames,
            dropped={"source": counts.dropped, **self._fanout.dropped_by_sink},
            temperature_c=health.health.temperature_c if health else None,
            throttled=health.health.throttled if health else None,
            rate_factor=health.rate_factor if health else 1.0,
            since_s=self._since_s,
            reason=self._reason,
            corrupt=counts.corrupt,
            reconnects=counts.reconnects,
            tells_throttling=health.health.tells_throttling if health else False,
        )

    def _enter(self, state: State, reason: str) -> None:
        self._state, self._reason, self._since_s = state, reason, time.monotonic()
        self._status_at_s = -STATUS_S  # tell at once
        self._tick()
        if state != "stopped":
            self._notifier.ready()  # also without a camera: what waits for one is up

    def _tick(self) -> None:
        now_s = time.monotonic()
        if self._must_reload:
            self._must_reload = False
            self._notifier.reloading()
            self._reload()
            self._notifier.ready()
        if now_s - self._status_at_s >= STATUS_S:
            self._status_at_s = now_s
            status = self.status()
            self._fanout.status(status)
            self._notifier.status(status.line)

    # -- its end -----------------------------------------------------------------------------------------------------

    def end(self, by: str = "the program") -> None:
        """Ends the run, from any thread: the source is closed, the frame in work is finished and published.

        A camera that is being opened is waited for; ``run`` then returns without a frame of it.

        Args:
            by: for ``RunSummary.ended_by``.
        """
        self._ended, self._summary.ended_by = True, by
        self._cut_short()

    def _end(self, by: str) -> None:
        """A signal, in the thread of ``run``: as ``end``, and an opening is left at once."""
        self.end(by)
        if self._is_connecting or (self._source is not None and self._source.opening):
            raise SignalledWhileOpening

    def _ask_for_reload(self) -> None:
        self._must_reload = True

    def _cut_short(self) -> None:
        self._was_cut = True
        self._switch.ring()
        source = self._source
        if source is not None:
            source.close()


def run(source: FrameSource, pipeline: Pipeline, sink: Sink | None, max_frames: int | None = None) -> RunSummary:
    """Reads from an open source until it ends, ``max_frames`` are read, SIGINT or SIGTERM comes.

    Raises:
        SourceError: the source was lost.
    """
    daemon = Daemon(lambda _: source, "", pipeline, strict_sink=sink, max_frames=max_frames)
    return daemon.run()


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
