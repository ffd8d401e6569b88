"""A command in a fork of this process, which has imported what is slow to import: a hundred starts cost what ten did.

What is killed is the command itself, from its first line to its last; what it imports meanwhile writes nothing.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

HEAVY = ("torch", "torch.export", "torch._decomp", "onnx", "ml_dtypes", "numpy", "scipy.ndimage", "cv2", "safetensors")


class Forked:
    """A child of this process; the part of ``subprocess.Popen`` that is needed here.

    Args:
        main: the command; gives its status.
        words: its command line, with its name.
        folder: where it runs.
        environ: all its variables.
        said: file for what it prints.
    """

    def __init__(
        self, main: Callable[[], int], words: list[str], folder: Path, environ: Mapping[str, str], said: Path
    ) -> None:
        self.returncode: int | None = None
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            status = 70
            try:
                os.setsid()
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_DFL)
                os.chdir(folder)
                out, nothing = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), os.open(os.devnull, os.O_RDONLY)
                for source, target in ((nothing, 0), (out, 1), (out, 2)):
                    os.dup2(source, target)
                os.environ.clear()
                os.environ.update(environ)
                sys.argv = words
                status = main()
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 1
            finally:
                os._exit(status)

    def poll(self) -> int | None:
        """Its status, or None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its status.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if until is not None and time.monotonic() >= until:
                raise subprocess.TimeoutExpired("a fork", timeout or 0.0)
            time.sleep(0.01)
        return status

    def send_signal(self, number: int) -> None:
        """To it alone."""
        if self.poll() is None:
            os.kill(self.pid, number)


def host_command() -> Callable[[], int]:
    """``fer-host``, with its heavy imports done."""
    for name in (*HEAVY, "fer_host.pipeline", "fer_host.bundle.job", "fer_host.cli"):
        importlib.import_module(name)
    from fer_host.cli import main

    return main
