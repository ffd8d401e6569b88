"""How both programs begin and end: their three standard streams, Ctrl-C, and which exit status says what.

``run`` is the frame around a program; ``status_of`` is the part that turns a user's errors into one line each.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, TextIO

from fer_edge.contract.errors import EdgeError
from fer_edge.contract.redact import redacted

DONE, REFUSED, INCOMPLETE, INTERRUPTED = 0, 2, 3, 130
# what the dynamic loader, OpenCV and the C library say
_NO_MEMORY = ("failed to map segment", "Insufficient memory", "annot allocate memory", "can't start new thread")
HEARD_S = 0.05  # longer than a destructor takes


class OutputError(EdgeError):
    """Standard output cannot be written: it was closed by the caller, or its disk is full."""


def run(program: str, command: Callable[[], int], errors: tuple[type[Exception], ...] = (EdgeError,)) -> int:
    """Runs a program from its first line to its exit status, which is returned.

    Args:
        program: its name, before each line on stderr.
        command: what it does.
        errors: that a user can cause, see ``status_of``.
    """
    _occupy_descriptors()
    replace_streams()
    sys.excepthook = _excepthook
    interrupt = Interrupt()
    try:
        interrupt.listen()
        return interrupt.status(program, lambda: status_of(program, command, errors))
    except KeyboardInterrupt:  # again, while that was being said
        return INTERRUPTED
    finally:
        interrupt.leave()


def status_of(program: str, command: Callable[[], int], errors: tuple[type[Exception], ...] = (EdgeError,)) -> int:
    """The exit status of a command; a user's error is a line on stderr and status 2, a bug keeps its traceback.

    Args:
        program: its name, before each line on stderr.
        command: what it does.
        errors: that a user can cause. One that has ``each``, a list of errors, is a line for every one of them.
    """
    refused: tuple[type[Exception], ...] = (*errors, OutputError)
    try:
        status = command()
        sys.stdout.flush()
    except refused as error:
        for one in getattr(error, "each", (error,)):
            print(f"{program}: error: {one}", file=sys.stderr)
        return REFUSED
    except BrokenPipeError:  # `fer-edge … | head`: nobody reads on, which is no error
        return DONE
    except OSError as error:  # a place that cannot be read or written; without a name it is a bug of ours
        if error.errno == errno.ENOMEM:
            return _no_memory(program)
        if error.filename is None:
            raise
        line = EdgeError(f"{_text(error.filename)}: {error.strerror}; expected a usable place")
        print(f"{program}: error: {line}", file=sys.stderr)
        return REFUSED
    except Exception as error:
        if not _is_of_memory(error):
            raise
        return _no_memory(program)
    return status


def _is_of_memory(error: BaseException | None) -> bool:
    """Whether there was no memory left: Python's error, a library that could not be loaded, or a C++ library's own."""
    while error is not None:
        said = str(error)
        if isinstance(error, MemoryError) or any(words in said for words in _NO_MEMORY):
            return True
        error = error.__cause__
    return False


def _no_memory(program: str) -> int:
    print(
        f"{program}: error: memory: not enough left for this; expected more, a higher limit, or a smaller input",
        file=sys.stderr,
    )
    return REFUSED


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A bug's traceback, in which a value may hold a URL with its login."""
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))


def _text(name: object) -> str:
    return os.fsdecode(name) if isinstance(name, bytes) else str(name)


class Interrupt:
    """Ctrl-C: ends the program through every ``finally`` on the way, with one line and status 130.

    An interrupt that a library turns into another error, or swallows, counts all the same. Before ``listen`` and after
    ``leave`` nothing has to be put in order, and SIGINT ends the process at once, which a shell reports as 130 too.
    """

    came: bool

    def __init__(self) -> None:
        self.came = False

    def listen(self) -> None:
        """Takes SIGINT, unless the caller had it ignored (``nohup``, a shell's background job)."""
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._interrupted)
            sys.unraisablehook = self._unraisable
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # bin/fer-edge starts Python with it blocked

    def leave(self) -> None:
        """From here on SIGINT just ends the process; what runs at its end must not be torn by a traceback."""
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_DFL)

    def status(self, program: str, command: Callable[[], int]) -> int:
        """The command's exit status, or 130 where it was interrupted."""
        try:
            status = command()
        except SystemExit as end:  # argparse's: --help, --version, a wrong flag
            status = end.code if isinstance(end.code, int) else DONE if end.code is None else REFUSED
            status = status_of(program, lambda: status)
        except BaseException:
            if not self.came:
                raise
            status = INTERRUPTED
        if self.came:
            self.leave()
            print(f"{program}: stopped", file=sys.stderr)
            return INTERRUPTED
        return status

    def _interrupted(self, _: int, frame: FrameType | None) -> None:
        self.came = True
        if _is_importing(frame):
            self._again()
            return
        raise KeyboardInterrupt

    def _again(self) -> None:
        """Sends the interrupt once more in a moment, when it can be heard."""
        again = threading.Timer(HEARD_S, os.kill, (os.getpid(), signal.SIGINT))
        again.name, again.daemon = "interrupt again", True
        again.start()

    def _unraisable(self, found: Any) -> None:
        """An interrupt in a ``__del__`` or a C library's callback: raised again in a moment, where it can be heard."""
        if issubclass(found.exc_type, KeyboardInterrupt):
            self._again()
        else:
            sys.__unraisablehook__(found)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported: an error that is raised into a C++ extension's start ends the process."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


# -- standard streams --------------------------------------------------------------------------------------------------


def _occupy_descriptors() -> None:
    """Puts something at 0, 1 and 2 where the caller closed one: else the next file opened would get its number.

    It is opened the wrong way round, so that reading or writing fails there as it does with the closed one.
    """
    for descriptor, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)


def replace_streams(out: int = 1, err: int = 2) -> None:
    """Makes both outputs say what is wrong with them; "→" is "?" on a terminal that cannot show it.

    Args:
        out: descriptor that standard output writes to from now on.
        err: likewise standard error.
    """
    for name, descriptor, is_quiet in (("stdout", out, False), ("stderr", err, True)):
        before = getattr(sys, name)
        with contextlib.suppress(OSError, ValueError):
            if before is not None:
                before.flush()
        setattr(sys, name, _stream(before, _Output(descriptor, is_quiet), is_quiet))


def _stream(before: TextIO | None, output: _Output, is_stderr: bool) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(output),
        encoding=getattr(before, "encoding", None) or "utf-8",
        errors="replace",
        line_buffering=is_stderr or bool(getattr(before, "line_buffering", False)),
        write_through=bool(getattr(before, "write_through", False)),
    )


class _Output(io.FileIO):
    """A standard stream that raises once where it cannot be written, and then takes what still comes.

    Args:
        descriptor: 1 or 2.
        is_quiet: of standard error, whose loss cannot be told to anybody.
    """

    def __init__(self, descriptor: int, is_quiet: bool) -> None:
        super().__init__(descriptor, "wb" if _is_writable(descriptor) else "rb", closefd=False)
        self._is_quiet, self._is_lost = is_quiet, False

    def writable(self) -> bool:
        """Always; a descriptor that is not says so when something is written."""
        return True

    def readable(self) -> bool:
        """Never."""
        return False

    def write(self, content: Any) -> int:
        """Writes some of it, at least a byte; waits where a pipe that does not block is full.

        Raises:
            OutputError: standard output was closed, or is full.
            BrokenPipeError: nobody reads it any more.
        """
        while not self._is_lost:
            try:
                return os.write(self.fileno(), content)
            except BlockingIOError:
                select.select((), (self.fileno(),), ())
            except OSError as error:
                self._is_lost = True
                if isinstance(error, BrokenPipeError) and not self._is_quiet:
                    raise
                if not self._is_quiet:
                    why = "closed" if error.errno == errno.EBADF else error.strerror
                    raise OutputError(f"standard output: {why}; expected one that can be written") from error
        return memoryview(content).nbytes


def _is_writable(descriptor: int) -> bool:
    return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
