"""One slot between a camera's thread and its reader: the newest frame wins, older ones are counted as dropped.

``close`` may be called from a signal handler: it takes no lock, so it cannot wait for one that its own thread holds.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import Generic, TypeVar

T = TypeVar("T")
# A signal that arrives in the instant before the wait begins does not interrupt it: Python runs the handler only when
# the wait returns (as with any blocking call). So no wait is longer than this; else such a close() could go unheard.
LONGEST_WAIT_S = 0.2


class Closed(Exception):  # noqa: N818  # an ending, not an error
    """The mailbox was closed: nothing more will come out of it."""


class Mailbox(Generic[T]):
    """One producer puts, one consumer gets; the consumer never waits in vain and never sees an old item.

    Each filling of the empty slot, ``fail`` and ``close`` ring a bell once. The bell is a ``SimpleQueue``, whose put is
    reentrant by contract; a ``Condition`` would lose a wake-up that a signal handler sends just before the wait.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the slot and the counts; close() must not take it
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._slot: list[T] = []
        self._error: BaseException | None = None
        self._closed = False
        self._produced = self._consumed = 0

    @property
    def closed(self) -> bool:
        """Whether the producer should stop."""
        return self._closed

    @property
    def dropped(self) -> int:
        """Items put and never got; the one that still waits counts once the mailbox is closed."""
        waiting = 0 if self._closed else len(self._slot)
        return self._produced - self._consumed - waiting

    def put(self, item: T) -> bool:
        """Replaces what waits; False, and nothing done, once closed."""
        with self._lock:
            if self._closed:
                return False
            was_empty = not self._slot
            self._slot[:] = [item]
            self._produced += 1
        if was_empty:
            self._bell.put(None)
        return True

    def fail(self, error: BaseException) -> None:
        """Ends it with an error, which ``get`` raises after the item that still waits."""
        self._error = error
        self._bell.put(None)

    def close(self) -> None:
        """Ends it at once, whatever waits; safe from any thread, from a signal handler, and twice."""
        self._closed = True
        self._bell.put(None)

    def end(self) -> None:
        """Closes it and lets go of the item that waits and of the error, whose traceback holds whoever held this."""
        self.close()
        with self._lock:
            self._slot.clear()
            self._error = None

    def check(self) -> None:
        """Raises what ``fail`` was given, if an item is not there to be got first."""
        if self._error is not None and not self._slot:
            raise self._error

    def get(self, timeout_s: float | None = None) -> T:
        """Waits for the newest item and takes it.

        Args:
            timeout_s: longest wait; None waits for ever.

        Raises:
            Closed: it was closed.
            TimeoutError: nothing came in time.
            BaseException: what ``fail`` was given.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            if self._closed:
                raise Closed
            with self._lock:
                if self._slot:
                    self._consumed += 1
                    return self._slot.pop()
            if self._error is not None:
                raise self._error
            left_s = LONGEST_WAIT_S if until is None else until - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(f"nothing came in {timeout_s:g} s")
            with contextlib.suppress(queue.Empty):
                self._bell.get(timeout=min(left_s, LONGEST_WAIT_S))
