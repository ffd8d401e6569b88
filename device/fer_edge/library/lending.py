"""Pipelines that threads share: each is one thread's for the time of a picture, and made when it is first needed.

An interpreter holds the tensors of one picture, so that two threads in one would read each other's. One lock around one
pipeline is safe too, and leaves the other cores idle: benchmarks/results/library.md.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from fer_edge.errors import RunnerError

T = TypeVar("T")


class Lender(Generic[T]):
    """Lends at most ``most`` things at once, the one that was made first before the others; who comes then waits.

    Args:
        open_one: makes one, in the thread that needs it; is given how many were made before.
        most: made at most, None for as many as are needed at once.
        kept: of those that nobody has, so many are kept for the next.
        ready: made already.
    """

    def __init__(self, open_one: Callable[[int], T], most: int | None, kept: int, ready: Iterable[T] = ()) -> None:
        self._open, self._kept = open_one, kept
        self._free: list[tuple[int, T]] = list(enumerate(ready))
        self._n_made = len(self._free)
        self._lock = threading.Lock()
        self._places = None if most is None else threading.BoundedSemaphore(most)
        self._closed = False

    @contextmanager
    def lend(self) -> Iterator[T]:
        """One of them, for this block alone.

        Raises:
            RunnerError: it is closed.
        """
        if self._places is not None:
            self._places.acquire()
        try:
            with self._lock:
                if self._closed:
                    raise RunnerError("reader: closed; open another one with fer_edge.open_reader()")
                if self._free:
                    number, thing = heapq.heappop(self._free)
                else:
                    number, self._n_made = self._n_made, self._n_made + 1
                    thing = None
            thing = self._open(number) if thing is None else thing
            try:
                yield thing
            finally:
                with self._lock:
                    if not self._closed and len(self._free) < self._kept:
                        heapq.heappush(self._free, (number, thing))
        finally:
            if self._places is not None:
                self._places.release()

    def close(self) -> None:
        """Lets go of those that nobody has; those that are lent are let go when they come back. Safe to call twice."""
        with self._lock:
            self._closed = True
            self._free.clear()
