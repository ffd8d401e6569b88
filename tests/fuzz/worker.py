"""A child that runs cases of a kind and reports them in JSON lines; what anything prints beside is a broken promise."""
# ruff: noqa: E402  # the places of its modules come first

from __future__ import annotations

import importlib
import json
import mmap
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests" / "device"), str(ROOT / "tests" / "contract")]

import numpy as np

from fer_edge.program.own import ENVIRONMENT

REPORT_S = 0.5


def main(kind: str, seed: int, first: int, last: int, hang_s: float, folder: Path) -> None:
    """Runs cases ``first`` to ``last``."""
    os.environ |= ENVIRONMENT  # as the program: what is printed all the same is a broken promise
    reports = os.fdopen(os.dup(1), "w", buffering=1)
    ours = os.dup(2)
    printed = tempfile.TemporaryFile()  # noqa: SIM115  # for as long as the process
    for descriptor in (1, 2):
        os.dup2(printed.fileno(), descriptor)
    place = Path(tempfile.mkdtemp(dir=folder))
    with (folder / "at").open("r+b") as shared:
        number = mmap.mmap(shared.fileno(), 8)
    module = importlib.import_module(f"fuzz_{kind}")
    try:
        with module.cases(place) as case:
            report = Report(_memory("VmRSS"))
            for index in range(first, last):
                number[:] = index.to_bytes(8, "little")
                report.run(case, kind, seed, index, hang_s)
                if (said := os.lseek(printed.fileno(), 0, os.SEEK_CUR)) and module.SILENT:
                    text = os.pread(printed.fileno(), 300, 0).decode(errors="replace")
                    report.fault(index, f"{said} bytes beside our lines: {text!r}")
                if said:
                    os.ftruncate(printed.fileno(), 0)
                    os.lseek(printed.fileno(), 0, os.SEEK_SET)
                if report.is_due or index + 1 == last:
                    reports.write(json.dumps(report.row(index + 1)) + "\n")
    except BaseException:
        os.dup2(ours, 2)
        os.write(2, os.pread(printed.fileno(), 2000, 0))
        raise


class Report:
    """What came of the cases since the last line."""

    def __init__(self, before_bytes: int) -> None:
        self._before = before_bytes
        self._clear()

    def _clear(self) -> None:
        self._cases, self._slowest_s, self._worked_s, self._since_s = 0, 0.0, 0.0, time.monotonic()
        self._answers, self._faults = Counter[str](), list[str]()

    @property
    def is_due(self) -> bool:
        """Whether it is time for a line: at once after a broken promise, the next case may end this process."""
        return bool(self._faults) or time.monotonic() - self._since_s > REPORT_S

    def run(self, case: Any, kind: str, seed: int, index: int, hang_s: float) -> None:
        """One case."""
        started, worked_s = time.monotonic(), _cpu_s()
        try:
            self._answers[case(np.random.default_rng((seed, index)), index)] += 1
        except Exception as error:
            named = "" if type(error).__name__ == "Fault" else f"{type(error).__name__}: "
            self.fault(index, f"{named}{str(error)[:400]}{_place(error)}")
        took_s = time.monotonic() - started
        self._cases += 1
        self._slowest_s = max(self._slowest_s, took_s)
        self._worked_s = max(self._worked_s, _cpu_s() - worked_s)
        if _cpu_s() - worked_s > hang_s or took_s > 10 * hang_s:
            self.fault(index, f"took {took_s:.1f} s, {_cpu_s() - worked_s:.1f} s of them working")

    def fault(self, index: int, text: str) -> None:
        """A broken promise."""
        self._answers["broken promise"] += 1
        self._faults.append(f"case {index}: {text}")

    def row(self, index: int) -> dict[str, Any]:
        """The line, with the number of the next case; begins anew."""
        row = {
            "next": index,
            "cases": self._cases,
            "answers": self._answers,
            "faults": self._faults[:50],
            "slowest_s": self._slowest_s,
            "worked_s": self._worked_s,
            "before_bytes": self._before,
            "peak_bytes": _memory("VmHWM"),
        }
        self._clear()
        return row


def _place(error: BaseException) -> str:
    if type(error).__name__ == "Fault" or error.__traceback__ is None:
        return ""
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})"


def _cpu_s() -> float:
    """What this process and its ended children have worked so far: on a busy machine the clock says little."""
    return sum(os.times()[:4])


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]), Path(sys.argv[6]))
