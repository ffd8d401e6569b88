"""Catches what picture libraries write to stderr themselves: it is evidence of damage, and noise beside our own lines.

libjpeg, libpng and OpenCV have no other way to say it from Python. Standard error belongs to the whole process: what
other threads write meanwhile is passed on afterwards.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator

from fer_edge.contract.descriptors import captured

STDERR = 2
_LIBRARIES = re.compile(
    r"Corrupt JPEG data|Premature end of JPEG|Inconsistent progression|Invalid SOS|Unknown Adobe|Warning: unknown JFIF"
    r"|Application transferred|libpng |TIFF|JPEG datastream|Unsupported JPEG|Bogus |Quantization table|Huffman table"
    r"|\[ ?(?:WARN|ERROR|INFO)[: ]|OpenCV\b|iCCP|im(?:decode|read)_?\b|.*grfmt_|.*loadsave\.cpp|.*bitstrm\.cpp|> |$"
)
_lock = threading.Lock()


class Said:
    """What the libraries wrote in a ``hushed`` block; filled at its end."""

    text = ""


@contextlib.contextmanager
def hushed() -> Iterator[Said]:
    """In this block nothing of C libraries reaches standard error; one thread at a time."""
    said = Said()
    with _lock:
        printed = bytearray()
        try:
            with captured(STDERR) as printed:
                yield said
        finally:
            lines = printed.decode("utf-8", "replace").splitlines(keepends=True)
            said.text = "".join(line for line in lines if _LIBRARIES.match(line))
            others = "".join(line for line in lines if not _LIBRARIES.match(line))
            if others:
                with contextlib.suppress(OSError):
                    os.write(STDERR, others.encode())
