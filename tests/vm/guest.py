"""What the guest scripts share: named checks, each told on a line of its own, and a count at the end."""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

PROJECT = Path("/mnt/project")
PYTHON = "/opt/venv/bin/python"
_results: list[bool] = []
_started: list[subprocess.Popen[str]] = []


class Overdue(BaseException):
    """A check took longer than it may."""


def check(function: Callable[[], str | None], limit_s: int = 420) -> None:
    """Runs a check; its return value is said beside its name.

    Args:
        function: the check; an error is a failure.
        limit_s: it may take so long. One that hangs where Python cannot interrupt it ends the whole script, with a
            traceback.
    """
    started = time.monotonic()

    def overdue(_: int, __: FrameType | None) -> None:
        raise Overdue(f"not done in {limit_s} s")

    signal.signal(signal.SIGALRM, overdue)
    signal.alarm(limit_s)
    faulthandler.dump_traceback_later(limit_s + 60, exit=True, file=sys.stdout)
    try:
        said = function()
    except BaseException:
        _results.append(False)
        print(f"FAIL {function.__name__} ({time.monotonic() - started:.1f} s)")
        traceback.print_exc(file=sys.stdout)
    else:
        _results.append(True)
        print(f"ok {function.__name__} ({time.monotonic() - started:.1f} s){': ' + said if said else ''}")
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
        for process in _started:
            if process.poll() is None:  # of a check that failed
                process.kill()
        _started.clear()


def refused(opened: Callable[[], object]) -> str:
    """What a SourceError says, on one line; anything else fails the check."""
    from fer_edge.errors import SourceError

    try:
        opened()
    except SourceError as error:
        said = str(error)
    else:
        raise AssertionError("was not refused")
    assert "\n" not in said, said
    return said


def finish() -> None:
    """Prints the count that run.sh looks for."""
    failed = _results.count(False)
    print(f"VM: {len(_results) - failed} passed, {failed} failed")
    sys.exit(bool(failed))


def sh(*line: str) -> str:
    """Runs a command that must succeed; gives what it printed."""
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}: {done.returncode}: {done.stdout} {done.stderr}"
    return done.stdout


def bundle() -> Path | None:
    """A bundle that the project has made already, for whole runs of fer-edge; None where there is none."""
    for name in ("build/test-bundle", "dist/hawqc_mbv2"):
        if (PROJECT / name / "manifest.json").is_file():
            return PROJECT / name
    return None


def edge(*arguments: str) -> subprocess.Popen[str]:
    """Starts fer-edge as a process of its own."""
    line = [PYTHON, "-m", "fer_edge.cli", *arguments]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    _started.append(process)
    return process
