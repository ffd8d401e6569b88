"""What SIGINT, SIGTERM and SIGHUP do to a run."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class SignalledWhileOpening(BaseException):
    """SIGTERM or SIGINT while a camera is being opened, which can take half a minute: leaves the opening at once."""


@contextmanager
def signals_handled(end: Callable[[str], None], reload: Callable[[], None]) -> Iterator[None]:
    """Inside, SIGINT and SIGTERM call ``end`` with their name, SIGHUP calls ``reload``; both in the main thread."""
    if threading.current_thread() is not threading.main_thread():  # a test's; signals are the main thread's alone
        yield
        return

    def ended(number: int, _: FrameType | None) -> None:
        end(signal.Signals(number).name)

    def reloaded(_: int, __: FrameType | None) -> None:
        reload()

    handlers = {signal.SIGINT: ended, signal.SIGTERM: ended, signal.SIGHUP: reloaded}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """While no frame is there yet, SIGTERM ends the process with status 0, through every ``finally`` on the way."""

    def end(_: int, __: FrameType | None) -> None:
        print("fer-edge: SIGTERM: before the first frame", file=sys.stderr)
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
