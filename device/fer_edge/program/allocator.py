"""How the C library (glibc) keeps memory in fer-edge's own process: one heap, and large blocks given back at once.

By default each thread that allocates gets a heap of its own (up to eight per core), and a freed block of up to 32 MB
makes the next ones of its size part of a heap. The page has a thread for each connection, so a few dozen photos leave
some tens of MB in heaps that nobody uses: docs/long-life.md has what it was and what it is.
"""

from __future__ import annotations

import ctypes
import os

# mallopt(3), malloc.h
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
HEAPS = 1  # Python lets one thread run at a time; the interpreters allocate when they are loaded
# A frame of 1920 x 1080 px (6.2 MB) stays in the heap: fresh pages for each would cost time. A photo's px do not.
LARGE_BYTES = 8 << 20
TOP_BYTES = 16 << 20  # that may stay free at the heap's end, so that a frame does not give back what the next takes
OWN_WORDS = ("MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def keep_little() -> bool:
    """Sets it, before threads begin; False where the user set something, or the C library has no such thing (musl)."""
    if any(os.environ.get(name) for name in OWN_WORDS):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    options = ((ARENA_MAX, HEAPS), (MMAP_THRESHOLD, LARGE_BYTES), (TRIM_THRESHOLD, TOP_BYTES))
    return all([mallopt(option, value) == 1 for option, value in options])


def give_back() -> None:
    """Gives the system what is free inside the heap; some ms, so for what is rare and large, as a photo is."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
