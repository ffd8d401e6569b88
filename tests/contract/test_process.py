"""How a program ends: Ctrl-C while a module is imported is heard when the import is over; no memory is one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fer_edge.contract import process

SLOW = """
import os, signal, sys
os.kill(os.getpid(), signal.SIGINT)
sum(range(1000))  # where an interrupt would be raised
sys.stdout.write("imported whole\\n")
"""
PROGRAM = """
import sys, time
from fer_edge.contract import process
def command():
    import slow_start
    time.sleep(200)
    return 0
sys.exit(process.run("fer-edge", command))
"""


def test_an_import_is_not_torn_by_an_interrupt(tmp_path: Path) -> None:
    (tmp_path / "slow_start.py").write_text(SLOW)
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "imported whole\n", "fer-edge: stopped\n")


class Cv2Error(Exception):
    """As OpenCV's, which is no other."""


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libopenblas.so: failed to map segment from shared object"),
        caused(
            ImportError("numpy: a page of advice"), ImportError("libopenblas.so: failed to map segment from shared")
        ),
        Cv2Error("OpenCV(4.11.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9 bytes"),
        RuntimeError("can't start new thread"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_no_memory_is_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    """Found under prlimit --as: a page of traceback for each (benchmarks/attacks.py memory)."""

    def command() -> int:
        raise error

    assert process.status_of("fer-edge", command) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("fer-edge: error: memory: not enough left")


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        process.status_of("fer-edge", lambda: (_ for _ in ()).throw(RuntimeError("a bug")))
