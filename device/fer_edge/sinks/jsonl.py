"""Readings as JSON lines, to a file or to standard output."""

from __future__ import annotations

import contextlib
import sys
from types import TracebackType
from typing import TextIO

from fer_edge.contract.reading import dump_line
from fer_edge.errors import UsageError
from fer_edge.types import FrameReading


class JsonlSink:
    """One line a frame, flushed at once. ``-`` is standard output; a file is appended to, as logs are.

    Raises:
        UsageError: the file cannot be opened.
    """

    def __init__(self, target: str) -> None:
        self._own, self._target = target != "-", target
        try:
            self._file: TextIO = open(target, "a", encoding="utf-8") if self._own else sys.stdout  # noqa: SIM115 closed in __exit__
        except OSError as error:
            raise UsageError(
                f"--jsonl {target}: {error.strerror}; expected a file that can be written, or -"
            ) from error

    def publish(self, reading: FrameReading) -> None:
        """Writes one line.

        Raises:
            BrokenPipeError: the reader of standard output has gone.
            UsageError: the line cannot be written, e.g. because the disk is full.
        """
        try:
            self._file.write(dump_line(reading.to_doc()) + "\n")
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UsageError(f"--jsonl {self._target}: {error.strerror}; the readings so far are in it") from error

    def __enter__(self) -> JsonlSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own:
            # after a failed write the rest cannot be written either: that error is on its way already
            with contextlib.suppress(OSError) if value else contextlib.nullcontext():
                self._file.close()
