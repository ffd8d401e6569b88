"""Work done ahead of who needs it, by worker processes of torch's DataLoader, in order and in bounded memory.

What is made of a plan is a function of the plan alone, so the number of workers changes nothing but the time.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import cv2
import psutil  # type: ignore[import-untyped]  # publishes no types
from torch.utils.data import DataLoader, Dataset

from fer_host.errors import DataError, HostError

WORKERS = "FER_WORKERS"  # the environment's name for the number of worker processes
_MOST_WORKERS = 16
_AHEAD_BYTES = 2**27  # made and not yet taken; on a large machine a fiftieth of its memory
_PER_WORKER = 4  # results ahead of one worker at most
Plan = TypeVar("Plan")
Made = TypeVar("Made")


def n_workers() -> int:
    """Worker processes of this one: what FER_WORKERS says, else the cores that its neighbors and it leave.

    Raises:
        HostError: FER_WORKERS is no number of processes.
    """
    text = os.environ.get(WORKERS, "")
    if text:
        if not text.isdecimal() or not 1 <= int(text) <= 256:
            raise HostError(f"{WORKERS}={text}: expected a number of worker processes, 1 to 256")
        return int(text)
    cores = len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(_MOST_WORKERS, cores - 1))


class _Work(Dataset[Any]):
    """What the workers do; a user's error comes back as a value, because DataLoader would wrap it in a traceback."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make

    def __getitem__(self, plan: Any) -> Any:
        try:
            return self.make(plan), None
        except HostError as error:
            return None, (type(error), error.args)


def _as_it_is(made: Any) -> Any:
    return made


def _begin(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends its workers


class Ahead(Generic[Made]):
    """Iterates over what ``make`` makes of each plan, in the plans' order.

    Args:
        make: a pure function of a plan. Tensors in its result come through shared memory.
        plans: small; may be endless, and are taken as they are needed.
        made_bytes: about the size of one result, from which follows how many are made ahead.
        workers: None takes ``n_workers()``.

    Attributes:
        waited_s: for results that were not ready.
    """

    def __init__(
        self, make: Callable[[Plan], Made], plans: Iterable[Plan], made_bytes: int, workers: int | None = None
    ) -> None:
        self.waited_s = 0.0
        ahead = max(_AHEAD_BYTES, psutil.virtual_memory().total // 50) if workers is None else _AHEAD_BYTES
        kept = max(1, int(ahead // max(1, made_bytes)))
        self.workers = min(workers or n_workers(), kept)
        warnings.filterwarnings("ignore", message="This DataLoader will create")  # the number is the user's
        self._loader = DataLoader(
            _Work(make),
            batch_size=None,
            sampler=plans,
            num_workers=self.workers,
            prefetch_factor=max(1, min(_PER_WORKER, kept // self.workers)),
            collate_fn=_as_it_is,
            worker_init_fn=_begin,
            multiprocessing_context="fork",
        )

    def __iter__(self) -> Iterator[Made]:
        sys.stdout.flush()  # else a worker's copy of what is not yet printed
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)  # a child has none of OpenCV's threads, and would wait for them
        results = iter(self._loader)
        cv2.setNumThreads(threads)
        while True:
            asked = time.monotonic()
            try:
                made, error = next(results)
            except StopIteration:
                return
            except RuntimeError as lost:
                if "DataLoader worker" not in str(lost):
                    raise
                free = psutil.disk_usage("/dev/shm").free
                raise DataError(
                    f"data: a worker process is gone ({str(lost).splitlines()[0][:120]}), {free / 1e6:.0f} MB are free "
                    f"in /dev/shm; expected memory for {self.workers}: set {WORKERS}=1, or give it more shared memory"
                ) from lost
            self.waited_s += time.monotonic() - asked
            if error is not None:
                kind, texts = error
                raise kind(*texts)
            yield made
