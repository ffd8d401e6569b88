"""What libraries were only read for while they were loaded does not stay mapped.

Loading NumPy, OpenCV and the interpreter touches some 35 MB of their files (symbols, relocations, what stands next to
both), of which a run needs about half again. The pages stay in the system's page cache, where it can take them for
something else without asking; here they count as ours: for ``ps``, for PSS, and for the OOM killer.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import NamedTuple

MADV_DONTNEED = 4  # madvise(2), sys/mman.h
_OWN = ("Anonymous:", "Private_Dirty:", "Shared_Dirty:", "Swap:", "Locked:")  # kB, smaps in proc(5)


class Mapping(NamedTuple):
    """A part of a file in this process' memory.

    Attributes:
        start: address.
        length_bytes: of the part.
        resident_bytes: that are in memory.
    """

    start: int
    length_bytes: int
    resident_bytes: int


def let_go(smaps: Path = Path("/proc/self/smaps")) -> int:
    """Unmaps what is in memory of read-only parts of files; what is needed again is mapped again when it is touched.

    Only parts without a byte of our own are: what a library's loading wrote (relocated addresses) is not in its file.

    Args:
        smaps: of this process.

    Returns:
        The bytes that were let go; 0 where the system does not tell or has no ``madvise``.
    """
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    if madvise is None:
        return 0
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    try:
        text = smaps.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    found = unwritten(text)
    return sum(part.resident_bytes for part in found if madvise(part.start, part.length_bytes, MADV_DONTNEED) == 0)


def unwritten(smaps: str) -> list[Mapping]:
    """The parts of files that are private, cannot be written to, and have no page that differs from the file.

    Args:
        smaps: text of /proc/PID/smaps.
    """
    found: list[Mapping] = []
    place: tuple[int, int] | None = None
    resident_kb, is_own = 0, False
    for line in smaps.splitlines():
        name, *values = line.split()
        if not name.endswith(":"):  # 7f00-7f80 r-xp 00001000 08:01 42 /usr/lib/libc.so.6
            start, _, end = name.partition("-")
            is_file = len(values) > 4 and values[4].startswith("/") and values[3] != "0"
            place = (int(start, 16), int(end, 16)) if is_file and values[0] in ("r-xp", "r--p") else None
            resident_kb, is_own = 0, False
        elif name == "Rss:":
            resident_kb = int(values[0])
        elif name in _OWN:
            is_own = is_own or values[0] != "0"
        elif name == "VmFlags:" and place is not None and resident_kb and not is_own:  # the last line of a part
            found.append(Mapping(place[0], place[1] - place[0], resident_kb * 1024))
    return found
