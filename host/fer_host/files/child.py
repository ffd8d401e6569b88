"""Python processes of our own, for what must not take this one down with it or print into it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import fer_host


def run_python(*arguments: str, output: IO[bytes] | None = None) -> subprocess.CompletedProcess[bytes]:
    """Runs this interpreter with ``fer_host`` importable, without input.

    Args:
        arguments: after the interpreter's name, e.g. ``-m``, ``fer_host.convert.tf_worker``.
        output: receives all that it prints; None keeps it in the result's ``stdout`` and ``stderr``.
    """
    home = str(Path(fer_host.__file__).resolve().parents[1])
    path = os.pathsep.join([home, os.environ.get("PYTHONPATH", "")]).rstrip(":")
    return subprocess.run(
        [sys.executable, "-P", *arguments],  # -P: the working directory may hold anything, a tensorflow.py included
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if output is None else output,
        stderr=subprocess.PIPE if output is None else subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
