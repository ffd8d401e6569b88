"""Lines appended to a file or to standard output, for sinks that write text. A line that was written stays whole."""

from __future__ import annotations

import errno
import logging
import os
import stat

from fer_edge.errors import UsageError

log = logging.getLogger(__name__)
STDOUT = 1


class LineFile:
    """Appends lines, as logs do; each is handed to the system before ``append`` returns.

    A file that cannot be written for a while (disk full) loses the lines of that while: they are counted, it is said
    once when it begins and once when it is over. Lines that fit only in part are taken back.

    Args:
        flag: that named the target, for messages.
        target: a file, or ``-`` for standard output.
        strict: end with an error instead of going on without; for clips, whose readings must be complete.
        head: begins an empty file, also one that was emptied while it is open (log rotation's ``copytruncate``).
        newline: ends a line that somebody else tore.

    Raises:
        UsageError: the file cannot be opened.
    """

    dropped: int

    def __init__(self, flag: str, target: str, strict: bool, head: bytes = b"", newline: bytes = b"\n") -> None:
        self._own, self._strict = target != "-", strict
        self._what, self._head, self._newline = f"{flag} {target}", head, newline
        self.dropped = 0
        self._failing_since = 0  # value of ``dropped`` when the trouble began, plus 1; 0 for none
        self._torn = False  # the file ends in the middle of a line
        self._fd: int | None = STDOUT
        try:
            if self._own:
                self._fd = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
                self._torn = ends_torn(target)
        except OSError as error:
            raise UsageError(f"{self._what}: {error.strerror}; expected a file that can be written, or -") from error
        self._has_head = not head

    def append(self, lines: bytes) -> None:
        """Writes one reading's lines, ends included.

        Raises:
            BrokenPipeError: the reader of standard output has gone.
            UsageError: strict, and they cannot be written, e.g. because the disk is full.
        """
        try:
            self._write(self._before(lines) + lines)
        except BrokenPipeError:
            raise
        except OSError as error:
            self.dropped += 1
            if self._strict:
                raise UsageError(f"{self._what}: {error.strerror}; the readings so far are in it") from error
            if not self._failing_since:
                self._failing_since = self.dropped
                log.warning("%s: %s; readings are dropped until it can be written", self._what, error.strerror)
            return
        if self._failing_since:
            n = self.dropped - self._failing_since + 1
            log.warning("%s: can be written again; %d readings were dropped", self._what, n)
            self._failing_since = 0

    def close(self) -> None:
        """Closes the file; safe to call twice."""
        fd, self._fd = self._fd, None
        if self._own and fd is not None:
            os.close(fd)

    def _before(self, lines: bytes) -> bytes:
        """What must stand before the lines: the head of an empty file, the end of a torn line."""
        if not self._head or self._fd is None:
            return self._newline if self._torn and lines else b""
        state = os.fstat(self._fd)
        if stat.S_ISREG(state.st_mode):
            return self._head if state.st_size == 0 else self._newline if self._torn and lines else b""
        return b"" if self._has_head else self._head

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
        if content:
            self._torn, self._has_head = False, True

    def _take_back(self, written: int) -> bool:
        """Cuts half-written lines off the file; False where that cannot be done (a pipe, a device)."""
        if self._fd is None or not stat.S_ISREG(os.fstat(self._fd).st_mode):
            return False
        try:
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
        except OSError:
            return False
        return True


def ends_torn(path: str) -> bool:
    """Whether a regular file ends in the middle of a line, e.g. of a process that was killed."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) or not os.stat(path).st_size:
            return False
        with open(path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:  # may be written, not read
        return False
