"""The child's side of trials that go wrong, for test_trial.py: what a bundle might do that took over the process."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from fer_edge.program.child import Limits, confine, say


def main(arguments: list[str]) -> None:
    path, memory_bytes, cpu_s, _, _, what = arguments[:6]
    lacks = confine(Limits(int(memory_bytes), int(cpu_s), 1 << 20))
    say(trying="variant planted")
    found = DEEDS[what](Path(path))
    say(done=True, sha256="", lacks=lacks, peak_bytes=0, found=found)


def _crash(_: Path) -> str:
    return str(ctypes.string_at(1))


def _abort(_: Path) -> str:
    os.abort()


def _spin(_: Path) -> str:
    while True:
        pass


def _sleep(_: Path) -> str:
    threading.Event().wait(600)
    return ""


def _eat(_: Path) -> str:
    eaten = []
    while True:
        eaten.append(bytearray(1 << 24))


def _print(_: Path) -> str:
    while True:
        os.write(1, b"x" * 65_536)


def _lie(_: Path) -> str:
    say(done=True, sha256="", lacks="", peak_bytes=0)
    os._exit(7)


def _denied(deed: Callable[[], object]) -> bool:
    try:
        deed()
    except PermissionError:
        return True
    except OSError as error:
        return f"{type(error).__name__}: {error}" == ""
    return False


def _escape(folder: Path) -> list[str]:
    """What is possible all the same."""
    file, parent = folder / "there", os.getppid()
    deeds = {
        "a socket": lambda: socket.socket(socket.AF_INET),
        "a socket of this machine": lambda: socket.socket(socket.AF_UNIX),
        "a process": _fork,
        "a program": lambda: os.execv("/bin/true", ["true"]),
        "a signal": lambda: os.kill(parent, signal.SIGTERM),
        "a signal to a thread": lambda: _tgkill(parent),
        "a new file": lambda: (folder / "new").write_text("x"),
        "a file to write": lambda: file.open("r+"),
        "a file to add to": lambda: file.open("a"),
        "a folder": lambda: (folder / "folder").mkdir(),
        "a removal": file.unlink,
        "a name": lambda: file.rename(folder / "other"),
        "a link": lambda: (folder / "link").symlink_to("/etc"),
        "a mode": lambda: file.chmod(0o777),
        "more memory": _more_memory,
    }
    assert file.read_text() == "kept"
    thread: list[bool] = []
    later = threading.Thread(target=lambda: thread.append(_denied(lambda: socket.socket(socket.AF_INET))))
    later.start()
    later.join()
    return [name for name, deed in deeds.items() if not _denied(deed)] + ["of a thread"] * (thread != [True])


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _more_memory() -> None:
    import resource

    limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    try:
        resource.setrlimit(resource.RLIMIT_DATA, limit)
    except ValueError as error:  # "not allowed to raise maximum limit"
        raise PermissionError from error


def _tgkill(pid: int) -> None:
    number = {"x86_64": 234, "aarch64": 131}.get(os.uname().machine, 268)
    if ctypes.CDLL(None, use_errno=True).syscall(number, pid, pid, 0):
        raise OSError(ctypes.get_errno(), "tgkill")


DEEDS: dict[str, Callable[[Path], object]] = {
    "crash": _crash, "abort": _abort, "spin": _spin, "sleep": _sleep, "eat": _eat, "print": _print, "lie": _lie,
    "escape": _escape,
}  # fmt: skip
