"""A file made whole or not at all: it is written under a name that is nobody's, beside the one that it then takes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_NAME_BYTES = 100  # of the file's own name, in that of the unfinished one; a name may have 255


def unfinished_file(path: Path, mode: int = 0o666) -> Path:
    """Makes the empty file alone; for who cannot write it in one block and renames or removes it later."""
    stem = os.fsdecode(os.fsencode(path.name)[:_NAME_BYTES])
    unfinished = path.with_name(f".{stem}.{os.urandom(4).hex()}.tmp")
    os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))
    return unfinished


@contextlib.contextmanager
def whole_file(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """Gives the name of a new, empty file to write; it takes the place of ``path`` at the end, or goes.

    Nobody's file is written over but the one at ``path``, and no link is followed. A killed process leaves the
    unfinished file, ``.<name>.<8 digits>.tmp``.

    Args:
        path: the file to make; its folder must be there.
        mode: of the new file, less the umask.

    Raises:
        OSError: the folder cannot be written to.
    """
    unfinished = unfinished_file(path, mode)
    try:
        yield unfinished
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
