"""One shape for all fuzzing: damaged input of a kind, case after case, in a child whose death names its case.

A kind is a module ``fuzz_<kind>.py`` with ``cases(folder)``, a context that gives a ``Case``. A case's damage depends
on (seed, number) alone, so any can be made again by itself. ``benchmarks/fuzz.py`` runs many, the tests a few.
"""

from __future__ import annotations

import json
import mmap
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
Case = Callable[[np.random.Generator, int], str]
"""Runs one case by its own random numbers and its number; gives what came of it in a word or two ("read", "refused"),
and raises ``Fault``, or anything else, where a promise is broken."""

HANG_S = 10.0
STUCK_S = 120.0  # without a finished case: the child hangs, on a busy machine too
SHOWN = 20  # faults that are kept in words


class Fault(Exception):  # noqa: N818  # an ending, named for what it is
    """A promise that was broken."""


@dataclass(frozen=True)
class Kind:
    """What is fuzzed.

    Args:
        what: in words, for the table.
        cases: by hand.
        most_bytes: of memory that the child may have held at most (its peak), a promise.
        host: it needs the host's packages.
    """

    what: str
    cases: int
    most_bytes: int
    host: bool = False


KINDS = {
    "http": Kind("requests, headers, bodies and uploads to the web server", 200_000, 400_000_000),
    "manifest": Kind("a bundle's manifest", 200_000, 300_000_000),
    "config": Kind("a configuration file", 200_000, 300_000_000),
    "documents": Kind("readings and measured documents (JSON)", 200_000, 300_000_000),
    "pictures": Kind("picture files of every format", 200_000, 2_000_000_000),
    "clips": Kind("clips of every container", 2_000, 1_000_000_000),
    "mqtt": Kind("packets from a broker", 200_000, 300_000_000),
    "npz": Kind("FER2013's npz and golden vectors", 200_000, 600_000_000, host=True),
    "tflite": Kind("a network's file, loaded and run", 5_000, 1_500_000_000),
}


@dataclass
class Outcome:
    """What came of the cases.

    Attributes:
        cases: that ended, one way or another.
        answers: how often what came of a case.
        faults: broken promises, each with its case; ``n_faults`` counts those too that are not kept in words.
        slowest_s: of a case, wall clock; ``worked_s`` of the processor.
        before_bytes: memory that the child held before the first case.
        peak_bytes: and at most.
    """

    cases: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    n_faults: int = 0
    slowest_s: float = 0.0
    worked_s: float = 0.0
    before_bytes: int = 0
    peak_bytes: int = 0
    seconds: float = 0.0

    def fault(self, text: str) -> None:
        """Counts a broken promise."""
        self.n_faults += 1
        if len(self.faults) < SHOWN:
            self.faults.append(text)

    def add(self, row: dict[str, Any]) -> None:
        """Takes a child's report of some cases."""
        self.cases += row["cases"]
        self.answers.update(row["answers"])
        for text in row["faults"]:
            self.fault(text)
        self.slowest_s = max(self.slowest_s, row["slowest_s"])
        self.worked_s = max(self.worked_s, row["worked_s"])
        self.before_bytes = self.before_bytes or row["before_bytes"]
        self.peak_bytes = max(self.peak_bytes, row["peak_bytes"])


def fuzz(
    kind: str,
    n: int,
    seed: int,
    first: int = 0,
    hang_s: float = HANG_S,
    limit_s: float = float("inf"),
    progress: Callable[[Outcome], None] = lambda _: None,
) -> Outcome:
    """Runs ``n`` cases from number ``first``; begins again behind a case that ended the child.

    Args:
        kind: of ``KINDS``.
        n: how many.
        seed: of the damage.
        first: number of the first case.
        hang_s: of the processor that a case may take, and ten times as much of the clock.
        limit_s: no new case after so long.
        progress: told now and then.
    """
    outcome, started, at, last = Outcome(), time.monotonic(), first, first + n
    with (
        tempfile.TemporaryDirectory(prefix="fer-fuzz-", dir=_memory()) as folder,
        (Path(folder) / "at").open("w+b") as shared,
    ):
        shared.truncate(8)
        number = mmap.mmap(shared.fileno(), 8)
        while at < last and time.monotonic() - started < limit_s:
            number[:] = at.to_bytes(8, "little")
            reported, ending = _child(
                (kind, seed, at, last, hang_s, folder), number, outcome, progress, started + limit_s
            )
            at = int.from_bytes(number[:], "little")
            if not ending:
                break
            outcome.fault(f"case {at}: {ending}")
            lost = at - reported
            outcome.cases += lost + 1
            outcome.answers["unreported"] += lost
            at += 1
    outcome.seconds = time.monotonic() - started
    if outcome.peak_bytes > KINDS[kind].most_bytes:
        outcome.fault(
            f"{outcome.peak_bytes / 1e6:.0f} MB of memory, expected {KINDS[kind].most_bytes / 1e6:.0f} at most"
        )
    return outcome


def _memory() -> str | None:
    """A folder in memory, where there is one: a disk waits each time that a case's file takes another's place."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() and os.access(shared, os.W_OK | os.X_OK) else None


def _child(
    work: tuple[Any, ...], number: mmap.mmap, outcome: Outcome, progress: Callable[[Outcome], None], until_s: float
) -> tuple[int, str]:
    """Runs a child to its end: the first case it has not reported, and what ended it early."""
    line = [sys.executable, str(HERE / "worker.py"), *map(str, work)]
    reported = int(work[2])
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(line, stdout=subprocess.PIPE, stderr=errors) as child,
        selectors.DefaultSelector() as ready,
    ):
        assert child.stdout is not None
        ready.register(child.stdout, selectors.EVENT_READ)
        ending, moved_s, seen = "", time.monotonic(), -1
        while True:
            if ready.select(1.0):
                row = child.stdout.readline()
                if not row:
                    break
                report = json.loads(row)
                reported = report["next"]
                outcome.add(report)
                progress(outcome)
            now_s, at = time.monotonic(), int.from_bytes(number[:], "little")
            if at != seen:
                seen, moved_s = at, now_s
            if now_s - moved_s > STUCK_S:
                ending = f"no end in {STUCK_S:g} s"
            if ending or now_s > until_s:
                child.kill()
                break
        status = child.wait()
        errors.seek(0)
        said = errors.read()[-600:].decode(errors="replace").strip()
    if not ending and status and time.monotonic() <= until_s:
        ending = f"the child ended with status {status}: {said}"
    return reported, ending


def one_line(text: str, most: int = 1000) -> None:
    """An error as it is promised: a line, and not a long one."""
    if not text or "\n" in text or "\r" in text or "\x1b" in text or len(text) > most:
        raise Fault(f"not one short line: {text[:200]!r}")
