"""Commands of the system that probes run: for real, or as recorded in a tree."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from fer_edge.contract.bounds import COMMAND_S as TIMEOUT_S

RECORDED = ".commands"  # the folder of a recorded tree; a file in it is named like the command line
Run = Callable[..., str]


def run(*line: str) -> str:
    """The command's stdout and stderr, whatever its status.

    Raises:
        OSError: it is not installed, may not be run, or does not end.
    """
    try:
        done = subprocess.run(
            line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{line[0]} did not end within {TIMEOUT_S:g} s") from error
    return done.stdout.decode(errors="replace").strip()


def recorded(root: Path) -> Run:
    """Gives what a tree recorded, e.g. ``.commands/vcgencmd get_throttled``; else FileNotFoundError."""

    def replay(*line: str) -> str:
        return (root / RECORDED / " ".join(line)).read_text().strip()

    return replay
