"""Work in a process of its own, which may die of it: a wheel for another CPU, a bundle that nobody vouches for.

``ask`` is the parent's side. The child is a module's ``main``, which prints one JSON line after each step (``say``) and
may confine itself (``confine``) when it has imported what it needs.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_edge.contract import bounds


@dataclass(frozen=True)
class Limits:
    """What a child may take.

    Attributes:
        memory_bytes: of its own, writable memory (RLIMIT_DATA).
        cpu_s: of processor time.
        file_bytes: of one file that it writes, what it prints included.
    """

    memory_bytes: int
    cpu_s: int
    file_bytes: int


def ask(
    module: str, *arguments: str, wall_s: float, environ: Mapping[str, str] | None = None
) -> tuple[list[dict[str, Any]], str]:
    """Runs ``main`` of a module in a child with this process' import path.

    Args:
        module: its full name.
        arguments: for ``main``.
        wall_s: until it is ended.
        environ: variables besides this process' own.

    Returns:
        The lines that it printed, and "" or what ended it early ("SIGILL", "no answer in 120 s", an exit status).
    """
    import subprocess

    code = f"import sys; sys.path[:] = {sys.path!r}; import {module} as child; child.main(sys.argv[1:])"
    line = [sys.executable, "-B", "-c", code, *arguments]
    with open(os.memfd_create("answers"), "w+b") as out, open(os.memfd_create("errors"), "w+b") as errors:
        child = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, env={**os.environ, **(environ or {})}
        )
        try:
            status: int | None = child.wait(wall_s)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            child.kill()
            child.wait()
        answers = _answers(_read(out))
        return answers, f"no answer in {wall_s:g} s" if status is None else _ending(status, _read(errors))


def _read(file: Any) -> bytes:
    file.seek(0)
    content: bytes = file.read(bounds.ANSWER_BYTES)
    return content


def _answers(output: bytes) -> list[dict[str, Any]]:
    """The JSON lines among what may also hold a library's own messages."""
    answers = []
    for line in output.splitlines():
        if line.startswith(b"{"):
            with contextlib.suppress(ValueError, RecursionError):
                answers.append(json.loads(line))
    return answers


def _ending(status: int, errors: bytes) -> str:
    import signal

    if status == 0:
        return ""
    if status < 0:
        try:
            return signal.Signals(-status).name
        except ValueError:
            return f"signal {-status}"
    lines = errors.decode(errors="replace").split("\n")
    said = next((text.strip() for text in reversed(lines) if text.strip()), "")
    return f"exit status {status}" + (f" ({said[:200]})" if said else "")


# -- the child's side


def say(**values: Any) -> None:
    """One answer."""
    print("\n" + json.dumps(values), flush=True)


def confine(limits: Limits, may_write: bool = False) -> str:
    """Shuts this process in: memory, time, size of files; and, where the kernel can, no network and no writing.

    Args:
        limits: see there; the time on the clock is the parent's affair.
        may_write: leaves the file system alone; called again without, it does not.

    Returns:
        "" where all of it holds, else what does not and why.
    """
    import resource

    _die_with_parent()
    with contextlib.suppress(OSError):  # where memory runs out all the same, this process goes first
        Path("/proc/self/oom_score_adj").write_text("1000")
    for kind, most in (
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))  # processor time over it is SIGXCPU, then SIGKILL
    from fer_edge.program import seccomp

    return seccomp.install(may_write)


def _die_with_parent() -> None:
    import ctypes
    import signal

    set_parent_death_signal = 1  # linux/prctl.h
    ctypes.CDLL(None).prctl(set_parent_death_signal, int(signal.SIGKILL), 0, 0, 0)
