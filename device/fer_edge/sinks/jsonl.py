"""Readings as JSON lines, to a file or to standard output. A line that was written is whole and stays."""

from __future__ import annotations

import errno
import logging
import os
import stat
from dataclasses import dataclass
from types import TracebackType

from fer_edge.contract.reading import dump_line
from fer_edge.errors import UsageError
from fer_edge.types import FrameReading, Status

log = logging.getLogger(__name__)
STDOUT = 1


@dataclass(frozen=True)
class JsonlSettings:
    """The ``[jsonl]`` table.

    Args:
        path: file to append to; "-" is standard output, "" writes none.
    """

    path: str = ""


class JsonlSink:
    """One line a frame, handed to the system before ``publish`` returns; a file is appended to, as logs are.

    A file that cannot be written for a while (disk full) loses the lines of that while: they are counted, it is said
    once when it begins and once when it is over. A line that fits only in part is taken back.

    Args:
        target: a file, or ``-`` for standard output.
        strict: end with an error instead of going on without; for clips, whose readings must be complete.

    Raises:
        UsageError: the file cannot be opened.
    """

    name = "jsonl"

    def __init__(self, target: str, strict: bool = True) -> None:
        self._own, self._target, self._strict = target != "-", target, strict
        self.dropped = 0
        self._failing_since = 0  # value of ``dropped`` when the trouble began, plus 1; 0 for none
        self._torn = False  # the file ends in the middle of a line
        self._fd: int | None = STDOUT
        try:
            if self._own:
                self._fd = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
                self._torn = _ends_torn(target)
        except OSError as error:
            raise UsageError(
                f"--jsonl {target}: {error.strerror}; expected a file that can be written, or -"
            ) from error

    def publish(self, reading: FrameReading) -> None:
        """Writes one line.

        Raises:
            BrokenPipeError: the reader of standard output has gone.
            UsageError: strict, and the line cannot be written, e.g. because the disk is full.
        """
        line = (dump_line(reading.to_doc()) + "\n").encode()
        try:
            self._write(b"\n" + line if self._torn else line)
        except BrokenPipeError:
            raise
        except OSError as error:
            self.dropped += 1
            if self._strict:
                raise UsageError(f"--jsonl {self._target}: {error.strerror}; the readings so far are in it") from error
            if not self._failing_since:
                self._failing_since = self.dropped
                log.warning(
                    "--jsonl %s: %s; readings are dropped until it can be written", self._target, error.strerror
                )
            return
        if self._failing_since:
            log.warning(
                "--jsonl %s: can be written again; %d readings were dropped",
                self._target,
                self.dropped - self._failing_since + 1,
            )
            self._failing_since = 0

    def status(self, status: Status) -> None:
        """Nothing of it is written: a line is a frame."""

    def close(self) -> None:
        """Closes the file; safe to call twice."""
        fd, self._fd = self._fd, None
        if self._own and fd is not None:
            os.close(fd)

    def _write(self, content: bytes) -> None:
        if self._fd is None:
            raise OSError(errno.EBADF, "closed")
        written = 0
        try:
            while written < len(content):
                written += os.write(self._fd, content[written:])
        except OSError:
            if written and not self._take_back(written):
                self._torn = True
            raise
        self._torn = False

    def _take_back(self, written: int) -> bool:
        """Cuts a half-written line off the file; False where that cannot be done (a pipe, a device)."""
        if self._fd is None or not stat.S_ISREG(os.fstat(self._fd).st_mode):
            return False
        try:
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
        except OSError:
            return False
        return True

    def __enter__(self) -> JsonlSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _ends_torn(path: str) -> bool:
    """Whether a regular file ends in the middle of a line, e.g. of a process that was killed."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) or not os.stat(path).st_size:
            return False
        with open(path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:  # may be written, not read
        return False
