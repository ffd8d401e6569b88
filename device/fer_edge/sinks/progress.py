"""How far a clip is, as one line on a terminal that is drawn over and over; nothing where there is no terminal."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

from fer_edge.types import FrameReading, Status

EVERY_S = 0.2
QUIET_S = 1.0  # what is done sooner shows nothing
BAR = 16  # characters
CLEAR = "\r\x1b[K"


class ProgressSink:
    """A sink that counts frames aloud.

    Args:
        length: frames of the clip, by their number; None where nobody knows.
        stream: a terminal.
    """

    name = "progress"
    dropped = 0

    def __init__(self, length: int | None, stream: TextIO | None = None) -> None:
        self._length, self._stream = length, stream or sys.stderr
        self._started_s = self._said_s = time.monotonic()
        self._first: int | None = None
        self._shown = False

    def publish(self, reading: FrameReading) -> None:
        """Counts a frame; draws the line anew a few times a second."""
        index = reading.frame.index
        self._first = index if self._first is None else self._first
        now_s = time.monotonic()
        if now_s - self._started_s >= QUIET_S and now_s - self._said_s >= EVERY_S:
            self._said_s, self._shown = now_s, True
            total = None if self._length is None else self._length - self._first
            line = progress_line(index - self._first + 1, total, now_s - self._started_s, reading.frame.t_media_s)
            self._stream.write(f"{CLEAR}{line[: shutil.get_terminal_size().columns - 1]}\r")
            self._stream.flush()

    def status(self, status: Status) -> None:
        """Nothing of it is shown."""

    def close(self) -> None:
        """Takes the line away; safe to call twice."""
        if self._shown:
            self._stream.write(CLEAR)
            self._stream.flush()
            self._shown = False


def progress_line(n: int, total: int | None, passed_s: float, t_media_s: float | None) -> str:
    """One line: a bar where the end is known, frames, place in the clip, rate, what is left.

    Args:
        n: frames that are done, those between the ones read too.
        total: frames there are; None, or fewer than are done, is no end.
        passed_s: since the first.
        t_media_s: of the newest frame.
    """
    rate = n / passed_s if passed_s > 0 else 0.0
    at = "" if t_media_s is None else f", at {minutes(t_media_s)}"
    if not total or n > total:
        return f"{n} frames{at}, {rate:.1f} per second"
    full = round(BAR * n / total)
    left = f", {minutes((total - n) / rate)} left" if rate > 0 else ""
    return f"[{'#' * full}{'.' * (BAR - full)}] {n / total:4.0%} {n}/{total} frames{at}, {rate:.1f} per second{left}"


def minutes(seconds: float) -> str:
    """E.g. ``1:05``, ``1:00:05``."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
