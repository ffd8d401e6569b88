"""Keeps what native code prints off our own output, where no option of the library turns it off."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def captured(*descriptors: int) -> Iterator[bytearray]:
    """Inside, what is written to these descriptors (1: standard output, 2: standard error) goes to a file in memory.

    The whole process is meant, Python's own streams and other threads too. A descriptor that is closed is left alone.

    Yields:
        What was printed; empty until the end.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or none
            stream.flush()
    printed = bytearray()
    before: dict[int, int] = {}
    for number in descriptors:
        with contextlib.suppress(OSError):
            before[number] = os.dup(number)
    with open(os.memfd_create("printed"), "w+b", buffering=0) as file:  # no disk, and none to be full or read-only
        for number in before:
            os.dup2(file.fileno(), number)
        try:
            yield printed
        finally:
            for number, copy in before.items():
                os.dup2(copy, number)
                os.close(copy)
            file.seek(0)
            printed += file.read()
