"""Threads in the background that do not end silently: an error is logged and counted, and the work begins again.

Every thread that the daemon relies on is a ``GuardedThread``; ``dead`` names those that ended all the same, and the
daemon then stops feeding systemd's watchdog.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0  # before the work begins again; doubled each time


class Watched(Protocol):
    """A thread that is looked after: a ``GuardedThread``, or a library's own, see ``watch``."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def errors(self) -> int:
        """Met so far."""
        ...

    @property
    def is_dead(self) -> bool:
        """Whether it ended although its work is not done."""
        ...


_watched: set[Watched] = set()


class GuardedThread:
    """Does its work in a thread; after an error it says so, waits and begins again.

    Args:
        name: for messages and for the system's list of threads.
        work: returns when there is nothing left to do, which ends the thread.
        first_wait_s: before the work begins again; then twice as long each time, up to a minute, until it ran for a
            minute without an error.
    """

    def __init__(self, name: str, work: Callable[[], None], first_wait_s: float | None = None) -> None:
        self.name, self.errors = name, 0
        self._work, self._first_wait_s = work, first_wait_s or FIRST_WAIT_S
        self._closed = threading.Event()
        self.is_done = False
        self._said: set[str] = set()
        # a daemon thread: a call that never returns must not keep the process alive
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_dead(self) -> bool:
        """Whether it ended although its work is not done."""
        return not (self.is_done or self._closed.is_set() or self._thread.is_alive())

    def start(self) -> None:
        """Begins."""
        _watched.add(self)
        self._thread.start()

    def close(self, wait_s: float = 0.0) -> None:
        """Does not begin again, and waits at most so long for the work to end; safe to call twice, or before ``start``.

        Args:
            wait_s: after the work was told to end.
        """
        self._closed.set()
        _watched.discard(self)
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(wait_s)

    def _run(self) -> None:
        wait_s = self._first_wait_s
        while not self._closed.is_set():
            began_s = time.monotonic()
            try:
                self._work()
            except Exception as error:  # whatever it is: the work must go on
                self.errors += 1
                if time.monotonic() - began_s > LONGEST_WAIT_S:
                    wait_s = self._first_wait_s
                self._say(error)
                self._closed.wait(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            else:
                self.is_done = True
                _watched.discard(self)
                return

    def _say(self, error: Exception) -> None:
        """Where it happened is said once; that it goes on happening at most as often as the log's own limit."""
        kind = f"{type(error).__name__}: {error}"
        text = "thread %s: %s; %d errors so far, it begins again"
        log.error(text, self.name, kind, self.errors, exc_info=kind not in self._said)
        if len(self._said) < 100:
            self._said.add(kind)


def watch(thread: Watched) -> None:
    """Looks after a thread of a library's own, which counts its errors and begins again by itself."""
    _watched.add(thread)


def unwatch(thread: Watched) -> None:
    """No longer; safe to call twice."""
    _watched.discard(thread)


def dead() -> list[str]:
    """Names of the threads that ended although their work is not done."""
    return sorted(thread.name for thread in tuple(_watched) if thread.is_dead)


def errors() -> dict[str, int]:
    """How many errors each thread met, of those that met any."""
    return {thread.name: thread.errors for thread in tuple(_watched) if thread.errors}
