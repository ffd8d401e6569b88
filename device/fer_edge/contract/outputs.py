"""An output that is an input: found before anything is written, by the file itself and not by its name."""

from __future__ import annotations

import os
import stat
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path

STDOUT = 1
WRITTEN = ("out", "report", "confusion", "csv", "wrong", "groups_plot", "trace")  # names of arguments
FileId = tuple[int, int] | str  # device and inode; the real path of what is not there yet


def clash(outputs: Mapping[str, str | os.PathLike[str]], inputs: Iterable[str | os.PathLike[str]]) -> str:
    """Why something would be written over: an output that is an input or another output; "" where nothing would.

    Links, hard links, other spellings of a path and a redirected standard output are seen through. Devices such as
    /dev/null may be given twice.

    Args:
        outputs: by the flag that names it; a target of "-" is standard output, "" is none.
        inputs: files that are read, "" is none.
    """
    read: dict[FileId, str] = {}
    for path in inputs:
        identity = _identity(path) if os.fspath(path) else None
        if identity is not None:
            read.setdefault(identity, os.fspath(path))
    written: dict[FileId, str] = {}
    for flag, target in outputs.items():
        identity = _identity(target) if os.fspath(target) else None
        if identity is None:
            continue
        what = f"{flag} {os.fspath(target)}"
        if identity in read:
            return f"{what}: is {read[identity]}, which is read; expected another file"
        if identity in written:
            return f"{what}: is the file of {written[identity]} as well; expected another file"
        written[identity] = flag
    return ""


def clash_of(arguments: Namespace) -> str:
    """As ``clash``, of a command line: what it is to write (``WRITTEN``) against every other file that it names."""
    given = {name: _paths(value) for name, value in vars(arguments).items()}
    inputs = [path for name, paths in given.items() if name not in WRITTEN for path in paths]
    outputs = ((f"--{name.replace('_', '-')}", path) for name in WRITTEN for path in given.get(name, ()))
    return next((problem for flag, path in outputs if (problem := clash({flag: path}, inputs))), "")


def _paths(value: object) -> list[Path | str]:
    """The paths in an argument's value; a text counts where it names a file."""
    values = value if isinstance(value, list | tuple) else [value]
    return [item for item in values if isinstance(item, Path) or (isinstance(item, str) and os.path.isfile(item))]


def _identity(path: str | os.PathLike[str]) -> FileId | None:
    """Of a regular file, there or not yet, or standard output; None for what can be written twice."""
    is_stdout = os.fspath(path) == "-"
    try:
        state = os.fstat(STDOUT) if is_stdout else os.stat(path)
    except (OSError, ValueError):
        return "-" if is_stdout else os.path.realpath(path)
    if stat.S_ISREG(state.st_mode):
        return state.st_dev, state.st_ino
    return "-" if is_stdout else None
