"""Pipelines that threads share: each is one thread's for the time of a picture, and made when it is first needed.

An interpreter holds the tensors of one picture, so that two threads in one would read each other's. One lock around one
pipeline is safe too, and leaves the other cores idle: benchmarks/results/library.md.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from fer_edge.errors import RunnerError

T = TypeVar("T")


class Lender(Generic[T]):
    """Lends at most ``most`` things at once; who comes then waits.

    Args:
        open_one: makes one, in the thread that needs it.
        most: made at most, None for as many as are needed at once.
        kept: of those that nobody has, so many are kept for the next.
        ready: made already.
    """

    def __init__(self, open_one: Callable[[], T], most: int | None, kept: int, ready: Iterable[T] = ()) -> None:
        self._open, self._kept = open_one, kept
        self._free: list[T] = list(ready)
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
                found = self._free.pop() if self._free else None
            thing = self._open() if found is None else found
            try:
                yield thing
            finally:
                with self._lock:
                    if not self._closed and len(self._free) < self._kept:
                        self._free.append(thing)
        finally:
            if self._places is not None:
                self._places.release()

    def close(self) -> None:
        """Lets go of those that nobody has; those that are lent are let go when they come back. Safe to call twice."""
        with self._lock:
            self._closed = True
            self._free.clear()
