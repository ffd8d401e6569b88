"""A live source that comes back: opened again after a loss, longer and longer apart, for as long as it takes.

What to do after a loss is decided in ``Retry``, which knows no clock of its own; ``ReconnectingSource`` does it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import random
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from fer_edge.contract.bounds import STUCK_S
from fer_edge.errors import SourceError
from fer_edge.sources.camera import backoff
from fer_edge.sources.live import StuckCamera
from fer_edge.sources.mailbox import LONGEST_WAIT_S
from fer_edge.types import Frame, FrameSource

STEADY_S = 10.0  # a source that gave frames for so long was well: its next loss is a new one
SETTLE_S = 0.5  # from a new device node to its group and permissions (udev)


@dataclass(frozen=True)
class Decision:
    """After a loss: how long to wait before the next try, and what to log (None: it was said before)."""

    delay_s: float
    say: str | None


class Retry:
    """The decisions about a source that comes and goes; times are those of one monotonic clock, in s.

    A reason is said once until the source was well again; numbers in it do not make it another one. A source that
    flaps (a frame, gone, a frame, gone) keeps its growing delays, so that nothing becomes a busy loop.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()
        self._delays = backoff(self._rng)
        self._said: set[str] = set()
        self._good_since_s: float | None = None
        self._lost_at_s: float | None = None
        self._told = False

    def lost(self, reason: str, now_s: float) -> Decision:
        """The source could not be opened, or was lost."""
        if self._good_since_s is not None:
            if now_s - self._good_since_s >= STEADY_S:
                self._delays = backoff(self._rng)
                self._said.clear()
            self._good_since_s = None
        if self._lost_at_s is None:
            self._lost_at_s, self._told = now_s, False
        kind = re.sub(r"\d+", "#", reason)
        is_new = kind not in self._said
        if is_new:
            self._said.add(kind)
            self._told = True
        return Decision(next(self._delays), reason if is_new else None)

    def good(self, now_s: float) -> str | None:
        """A good frame came; the line to log where that ends a loss that was logged."""
        if self._good_since_s is None:
            self._good_since_s = now_s
        if self._lost_at_s is None:
            return None
        took_s, self._lost_at_s = now_s - self._lost_at_s, None
        return f"frames again after {took_s:.1f} s" if self._told else None


class ReconnectingSource(FrameSource):
    """A source that opens another one again and again; ends only when closed.

    Frame numbers go on over a loss, counts add up. Waiting is never a busy loop, and ``close`` ends it at once.

    Args:
        open_source: opens the source; raises SourceError where it cannot.
        name: of the source, as a URI.
        say: told of a loss and of the return.
        on_wait: called at least every 0.2 s of a deliberate wait with the reason: this too is progress.
        retry: decides.
        look: something that changes when a device comes or goes; a wait ends soon after it did.
        first: a source that is open already.
    """

    waiting_for: str
    name: str

    def __init__(
        self,
        open_source: Callable[[], FrameSource],
        name: str,
        say: Callable[[str], None],
        on_wait: Callable[[str], None] = lambda _: None,
        retry: Retry | None = None,
        first: FrameSource | None = None,
        look: Callable[[], object] = lambda: None,
    ) -> None:
        self.name, self.waiting_for = name, ""
        self._is_opening, self._reconnects = False, 0
        self._open, self._say, self._on_wait, self._retry = open_source, say, on_wait, retry or Retry()
        self._look = look
        self._source, self._closed = first, False
        self._n_frames = 0
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._dropped_before = self._corrupt_before = 0  # of connections that are over

    @property
    def dropped(self) -> int:
        """Frames that were there and not yielded, of all connections."""
        return self._dropped_before + (self._source.dropped if self._source else 0)

    @property
    def corrupt(self) -> int:
        """Frames that came and could not be used, of all connections."""
        return self._corrupt_before + (self._source.corrupt if self._source else 0)

    @property
    def reconnects(self) -> int:
        """Times that it was lost and came back."""
        return self._reconnects

    @property
    def opening(self) -> bool:
        """See ``FrameSource``."""
        return self._is_opening

    def __iter__(self) -> Iterator[Frame]:
        """Frames for as long as nobody closes it.

        Raises:
            StuckCamera: the driver hangs for good; only a new process can try again.
        """
        n_before = self._n_frames = 0
        while not self._closed:
            try:
                for frame in self._connection():
                    self._is_good()
                    self._n_frames = n_before + frame.index + 1
                    yield dataclasses.replace(frame, index=n_before + frame.index) if n_before else frame
            except StuckCamera as error:
                self._wait_for_driver(error)
                self._wait(error)
            except SourceError as error:
                self._wait(error)
            else:
                if not self._closed:
                    self._wait(SourceError(f"source {self.name}: the stream ended"))
            n_before = self._n_frames

    def close(self) -> None:
        """Ends the iteration at once, also a wait; safe in a signal handler and from any thread."""
        self._closed = True
        self._bell.put(None)
        source = self._source
        if source is not None:
            source.close()

    def _connection(self) -> Iterator[Frame]:
        """One connection's frames; whatever ends it, the device is freed."""
        source = self._source
        if source is None:
            self._is_opening = True
            try:
                source = self._open()
            finally:
                self._is_opening = False
            self._source = source
        if self._closed:  # meanwhile
            source.close()
        frames = iter(source)
        try:
            yield from frames
        finally:
            source.close()
            if isinstance(frames, Generator):
                frames.close()
            self._source = None
            self._dropped_before += source.dropped
            self._corrupt_before += source.corrupt

    def _is_good(self) -> None:
        if self.waiting_for:
            self.waiting_for, self._reconnects = "", self._reconnects + 1
        line = self._retry.good(time.monotonic())
        if line:
            self._say(f"source {self.name}: {line}")

    def _wait(self, error: SourceError) -> None:
        reason = str(error)
        decision = self._retry.lost(reason, time.monotonic())
        self.waiting_for = reason
        if decision.say and not self._closed:
            was_there = self._n_frames > 0
            self._say(f"{decision.say}; waiting for it" if was_there else f"waiting for a camera: {decision.say}")
        until, seen = time.monotonic() + decision.delay_s, self._look()
        while not self._closed and (left_s := until - time.monotonic()) > 0:
            self._on_wait(reason)
            with contextlib.suppress(queue.Empty):
                self._bell.get(timeout=min(left_s, LONGEST_WAIT_S))
            now = self._look()
            if now != seen:
                seen, until = now, min(until, time.monotonic() + SETTLE_S)

    def _wait_for_driver(self, error: StuckCamera) -> None:
        """A hung driver may let go after a while; each try before that would leave one more hung thread."""
        thread: threading.Thread | None = error.thread
        until = time.monotonic() + STUCK_S
        while thread is not None and thread.is_alive() and not self._closed and time.monotonic() < until:
            self.waiting_for = str(error)
            self._on_wait(str(error))
            thread.join(LONGEST_WAIT_S)
        if not self._closed and (thread is None or thread.is_alive()):
            raise error
