"""Threads in the background that do not end silently: an error is logged with its place, counted, and gone on after.

``background.THREADS`` lists them all. Work that goes on as long as the program is a ``GuardedThread``, work that ends
by itself a ``OnceThread``; ``dead`` names those that ended although their work is not done, and the daemon then stops
feeding systemd's watchdog.
"""

from __future__ import annotations

import collections
import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from fer_edge.contract.bounds import THREAD_ERROR_KINDS as MOST_KINDS
from fer_edge.program.background import name_of

log = logging.getLogger(__name__)
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0  # before the work begins again; doubled each time


class Watched(Protocol):
    """A thread that is looked after: a ``GuardedThread``, or a library's own, see ``watch``."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def is_dead(self) -> bool:
        """Whether it ended although its work is not done."""
        ...


_watched: set[Watched] = set()
_counts: collections.Counter[str] = collections.Counter()
_said: set[str] = set()
_lock = threading.Lock()


class GuardedThread:
    """Does its work in a thread; after an error it says so, waits and begins again.

    Args:
        name: for messages and for the system's list of threads.
        work: returns when there is nothing left to do, which ends the thread.
        first_wait_s: before the work begins again; then twice as long each time, up to a minute, until it ran for a
            minute without an error.
    """

    name: str
    errors: int
    is_done: bool

    def __init__(self, name: str, work: Callable[[], None], first_wait_s: float | None = None) -> None:
        self.name, self.errors = name, 0
        self._work, self._first_wait_s = work, first_wait_s or FIRST_WAIT_S
        self._closed = threading.Event()
        self.is_done = False
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
                met(self.name, error, "it begins again")
                self._closed.wait(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            else:
                self.is_done = True
                _watched.discard(self)
                return


class OnceThread(threading.Thread):
    """Does one thing in a thread and ends; an error is said and counted, and kept for the one who waits for the end.

    Args:
        name: for messages and for the system's list of threads.
        work: what it does.
        wait_s: before it does it; ``cancel`` meanwhile leaves it undone.
    """

    def __init__(self, name: str, work: Callable[[], object], wait_s: float = 0.0) -> None:
        super().__init__(name=name, daemon=True)
        self._work, self._wait_s, self._cancelled = work, wait_s, threading.Event()
        self.error: Exception | None = None

    def cancel(self) -> None:
        """What has not begun is left undone; safe to call at any time."""
        self._cancelled.set()

    def run(self) -> None:
        """In the thread."""
        try:
            if not ((self._wait_s and self._cancelled.wait(self._wait_s)) or self._cancelled.is_set()):
                self._work()
        except Exception as error:  # whatever it is: nobody else would hear of it
            self.error = error
            met(name_of(self.name), error, "it has ended")
        finally:
            self._work = _nothing  # it may hold whoever holds this thread


def _nothing() -> None:
    """Of a thread that has done its work."""


def met(name: str, error: BaseException, and_now: str = "it goes on") -> None:
    """Counts an error that a thread met and says it: where it happened once, that it goes on at the log's own rate.

    Args:
        name: as in ``background.THREADS``.
        error: that was caught.
        and_now: what becomes of the thread.
    """
    n = count(name)
    kind = f"{name}: {type(error).__name__}: {error}"
    with _lock:
        is_new = kind not in _said
        if is_new and len(_said) < MOST_KINDS:
            _said.add(kind)
    text = "thread %s: %s; %d errors so far, %s"
    log.error(text, name, f"{type(error).__name__}: {error}", n, and_now, exc_info=error if is_new else None)


def count(name: str) -> int:
    """Counts an error of a thread that says it itself; how many that makes."""
    with _lock:
        _counts[name] += 1
        return _counts[name]


def hook(found: threading.ExceptHookArgs) -> None:
    """For ``threading.excepthook``: what nothing else caught has ended a thread, a library's maybe."""
    name = found.thread.name if found.thread is not None else ""
    met(name_of(name), found.exc_value or found.exc_type(), "it has ended")


def watch(thread: Watched) -> None:
    """Looks after a thread of a library's own, which begins again by itself."""
    _watched.add(thread)


def unwatch(thread: Watched) -> None:
    """No longer; safe to call twice."""
    _watched.discard(thread)


def dead() -> list[str]:
    """Names of the threads that ended although their work is not done."""
    return sorted(thread.name for thread in tuple(_watched) if thread.is_dead)


def errors() -> dict[str, int]:
    """How many errors each thread has met since the program began, of those that met any."""
    with _lock:
        return dict(_counts)
