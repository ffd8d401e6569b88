"""Keeps what native code prints off our own output, where no option of the library turns it off."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

_lock = threading.Lock()
_targets: dict[int, list[int]] = {}  # by descriptor: a copy of what it was, then where it went to, the newest last


@contextlib.contextmanager
def captured(*descriptors: int) -> Iterator[bytearray]:
    """Inside, what is written to these descriptors (1: standard output, 2: standard error) goes to a file in memory.

    The whole process is meant, Python's own streams and other threads too. A descriptor that is closed is left alone.
    Several threads may be inside at once, and leave in any order: the newest of them gets what is written, and after
    the last one the descriptor is what it was.

    Yields:
        What was printed; empty until the end.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or none
            stream.flush()
    printed = bytearray()
    with open(os.memfd_create("printed"), "w+b", buffering=0) as file:  # no disk, and none to be full or read-only
        taken = [number for number in descriptors if _divert(number, file.fileno())]
        try:
            yield printed
        finally:
            for number in taken:
                _give_back(number, file.fileno())
            file.seek(0)
            printed += file.read()


def _divert(number: int, target: int) -> bool:
    """Lets a descriptor write to another one's file; False where it is closed."""
    with _lock:
        if number not in _targets:
            try:
                _targets[number] = [os.dup(number)]
            except OSError:
                return False
        os.dup2(target, number)
        _targets[number].append(target)
    return True


def _give_back(number: int, target: int) -> None:
    with _lock:
        targets = _targets[number]
        targets.remove(target)
        os.dup2(targets[-1], number)
        if len(targets) == 1:
            os.close(targets[0])
            del _targets[number]
