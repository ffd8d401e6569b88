"""Ctrl-C while a module is imported: it is heard when the import is over, not raised into an extension's start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
    time.sleep(20)
    return 0
sys.exit(process.run("fer-edge", command))
"""


def test_an_import_is_not_torn_by_an_interrupt(tmp_path: Path) -> None:
    (tmp_path / "slow_start.py").write_text(SLOW)
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")], capture_output=True, text=True, check=False, timeout=15
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "imported whole\n", "fer-edge: stopped\n")
