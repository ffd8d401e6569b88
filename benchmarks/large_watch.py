"""Memory and time of a command and of the processes that it starts, looked at from outside in /proc."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

EVERY_S = 0.05


@dataclass
class Peak:
    """The most that one process held, MiB, and what it was made of at that moment.

    Attributes:
        rss: resident; ``anonymous``, ``file`` and ``shared`` add up to it.
        anonymous: its own: heap, weights, activations. Pages that a fork shares with its parent count in both.
        file: pages of libraries and mapped files, which the kernel takes back when it needs them.
        shared: of /dev/shm, where batches come through; the same pages count in the worker and in the trainer.
    """

    rss: float = 0.0
    anonymous: float = 0.0
    file: float = 0.0
    shared: float = 0.0

    def look(self, pid: int | str) -> None:
        """Looks once; a process that is gone counts no more."""
        try:
            text = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        found = dict(line.split(":", 1) for line in text.splitlines())
        if "RssAnon" in found:
            parts = [int(found[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile", "RssShmem")]
            if sum(parts) > self.rss:
                self.rss, self.anonymous, self.file, self.shared = sum(parts), *parts


class Own:
    """This process's peak, by a thread that looks; ``with Own() as peak``."""

    def __enter__(self) -> Peak:
        self._peak, self._end = Peak(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self._peak

    def _look(self) -> None:
        while not self._end.wait(EVERY_S / 2):
            self._peak.look("self")

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def watched(command: Sequence[str], **more: str) -> dict[str, Any]:
    """Runs a command to its end, which has to be a good one.

    Returns:
        ``wall_s``; ``cpu_s`` of it and of all its children; ``main`` and ``worker``: ``Peak`` of the process and of the
        largest of the processes below it; ``said``: what it printed last.
    """
    began = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **more}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    said: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda out: said.extend(out), args=(process.stdout,), daemon=True)
    reader.start()
    main, workers = Peak(), {}
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        main.look(process.pid)
        for child in _below(process.pid):
            workers.setdefault(child, Peak()).look(child)
        time.sleep(EVERY_S)
    process.returncode = os.waitstatus_to_exitcode(status)
    reader.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: status {process.returncode}\n{''.join(said[-20:])}")
    worker = max(workers.values(), key=lambda peak: peak.rss, default=Peak())
    return {
        "wall_s": time.monotonic() - began,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "main": asdict(main),
        "worker": asdict(worker),
        "said": said[-1].strip() if said else "",
    }


def _below(pid: int) -> list[int]:
    """Children of a process, and theirs."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    except OSError:
        pass
    return found + [below for child in found for below in _below(child)]
