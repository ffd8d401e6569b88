"""Files that are read whole: only regular ones, and no more than is expected. A pipe would be waited for, for ever."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from fer_edge.contract.bounds import DOCUMENT_BYTES as MOST_BYTES

_BLOCK_BYTES = 1 << 16


def read_regular(path: str | Path, most_bytes: int = MOST_BYTES) -> bytes:
    """A regular file's content, or a link's to one.

    Raises:
        OSError: it cannot be opened, is none, or has more than ``most_bytes``.
    """
    # without O_NONBLOCK, opening a FIFO waits for a writer
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        if state.st_size > most_bytes:
            raise OSError(errno.EFBIG, f"more than {most_bytes} bytes", str(path))
        content = file.read(state.st_size)  # the size is known: no second copy, and no more than there is
        while len(content) <= most_bytes and (block := file.read(min(_BLOCK_BYTES, most_bytes + 1 - len(content)))):
            content += block  # it grew meanwhile, or lies in /proc, where a size is 0
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"more than {most_bytes} bytes", str(path))
    return content
