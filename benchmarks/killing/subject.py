"""A command that is killed again and again, and what must be true after each kill."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

from killing.forked import Forked

ROOT = Path(__file__).parents[2]
Process = subprocess.Popen[bytes] | Forked
_TICKS = os.sysconf("SC_CLK_TCK")


class Subject(ABC):
    """One command with what it makes, in a folder of its own.

    Args:
        folder: for all that it writes.

    Attributes:
        waits: a start is refused, in a line that says so, while children of one that was killed alone are at work.
    """

    waits = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sessions: set[int] = set()

    @abstractmethod
    def command(self) -> list[str]:
        """What is started."""

    @abstractmethod
    def whole(self) -> list[str]:
        """What is half-written or lost, right after a kill."""

    @abstractmethod
    def finished(self) -> list[str]:
        """What is missing or left over after a run that nobody disturbed."""

    def prepare(self) -> None:  # noqa: B027  # as a rule there is nothing to do
        """Makes what the command needs."""

    def reset(self) -> None:  # noqa: B027
        """After a whole run: so that the next has everything to do."""

    def before_kill(self) -> None:  # noqa: B027
        """Right before: remembers what was acknowledged."""

    def is_over(self) -> bool:
        """Whether an undisturbed run has done enough; for commands that do not end by themselves."""
        return False

    def environment(self) -> dict[str, str]:
        """Of the command; its home is the folder, where its caches go."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "FER_"))}
        return kept | {"HOME": str(self.folder), "OMP_NUM_THREADS": "1", "PIP_CONFIG_FILE": os.devnull}

    def start(self) -> Process:
        """Starts it, as the first of a session, so that what it starts is known."""
        process = self._started()
        self.sessions.add(process.pid)
        return process

    def _started(self) -> Process:
        with (self.folder / "said").open("wb") as said:
            return subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=self.environment(),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    def undisturbed(self, longest_s: float = 1800.0) -> float:
        """A whole run; gives the seconds of the processor that it took, with all that it started.

        Raises:
            RuntimeError: it failed; with its last line.
        """
        began_s, worked_s, process = time.monotonic(), _worked_s(), self.start()
        while process.poll() is None and time.monotonic() < began_s + longest_s:
            if self.is_over():
                process.send_signal(signal.SIGTERM)
                process.wait(60)
                break
            time.sleep(0.05)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise RuntimeError(f"not over after {longest_s:g} s")
        if process.returncode:
            raise RuntimeError(f"status {process.returncode}: {self.last_line()}")
        return _worked_s() - worked_s

    def last_line(self) -> str:
        """Of what the command said."""
        lines = (self.folder / "said").read_text(errors="replace").splitlines()
        return lines[-1][:300] if lines else ""

    def orphans(self) -> list[int]:
        """Processes that it started and that still run, but for those that were killed and not yet buried."""
        return [pid for pid, fields in _processes() if int(fields[3]) in self.sessions and fields[0] != "Z"]


def worked_s(session: int) -> float:
    """Of the processor, by the living processes of a session and by those of their children that have ended."""
    return sum(sum(map(int, fields[11:15])) for _, fields in _processes() if int(fields[3]) == session) / _TICKS


def _processes() -> list[tuple[int, list[str]]]:
    """Each process' number and the fields of its stat behind the name: state, parent, group, session and so on."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                found.append((int(name), file.read().rpartition(")")[2].split()))
        except OSError:
            continue
    return [(pid, fields) for pid, fields in found if len(fields) > 15]


def _worked_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def digest(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
