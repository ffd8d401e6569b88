"""The same work on many things, in several threads, with the results in the things' order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_threads(work: Callable[[T], R], things: Iterable[T], n_threads: int) -> Iterator[R]:
    """What the work makes of each thing; a few things ahead of what was asked for, so that few are in memory.

    Raises:
        Exception: that the work raised for the first thing that it could not do; what had not begun is left undone.
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(n_threads, thread_name_prefix="batch") as threads:
        try:
            for thing in things:
                waiting.append(threads.submit(work, thing))
                if len(waiting) > 2 * n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
