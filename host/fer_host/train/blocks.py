"""How the C library (glibc) keeps the large blocks of a training with large pictures: apart from its heap.

Freed blocks of a step lie in the heap in pieces that the next step's do not fit into: a third of the memory of
MobileNetV2 at 224 px. Blocks that are mapped one by one go back to the system at once; that costs a fifth of the speed
(docs/large-data.md). Small pictures gain nothing and stay as they are.
"""

from __future__ import annotations

import ctypes
import os

LARGE_PX = 160
LARGE_BYTES = 4 << 20
MMAP_THRESHOLD = -3  # of mallopt(3), malloc.h
HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"  # torch's; read once, at its first tensor
OWN_WORDS = ("MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", HUGE_PAGES)


def keep_large_blocks_apart(px: int) -> bool:
    """Sets it for this process and what it starts; call it before torch is imported.

    Args:
        px: side of the largest input that is trained on.

    Returns:
        False where nothing was set: the pictures are below ``LARGE_PX``, the user set something, or the C library has
        no such thing (musl).
    """
    if px < LARGE_PX or any(os.environ.get(name) for name in OWN_WORDS):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or mallopt(MMAP_THRESHOLD, LARGE_BYTES) != 1:
        return False
    os.environ["MALLOC_MMAP_THRESHOLD_"] = str(LARGE_BYTES)  # for the workers of the loader
    os.environ[HUGE_PAGES] = "1"
    return True
