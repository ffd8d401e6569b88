"""Photos leave no memory behind: each comes in a thread of its own, and a thread may have a heap of its own.

docs/long-life.md has the long version, of 200 photos.
"""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import web_helpers as helpers

from fer_edge.contract.bundle import Bundle
from fer_edge.program import allocator

# 30 photos by three at a time on x86-64: 0.5 MB; 38 without one heap, 13 without giving back, 50 without either.
MOST_BYTES = 8_000_000
N_PHOTOS = 16


def a_photo(height: int, width: int) -> bytes:
    """A JPEG that is quickly decoded."""
    small = np.random.default_rng(height).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return helpers.jpeg(cv2.resize(small, (width, height)), 70)


def anonymous_bytes(pid: int) -> int:
    """What a process itself has written to."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found, "this kernel does not tell RssAnon"
    return int(found[1]) * 1024


@pytest.mark.skipif(os.confstr("CS_GNU_LIBC_VERSION") is None, reason="only glibc keeps a heap for each thread")
def test_photos_read_at_the_same_time_leave_no_heaps_behind(bundle: Bundle) -> None:
    photos = [a_photo(*hw) for hw in ((1200, 1600), (2000, 1500), (480, 640), (2400, 3200))]
    turn, lock = iter(range(N_PHOTOS)), threading.Lock()
    with helpers.fer_edge("web", "--port", "0", "--threads", "1", "--bundle", bundle.path) as (program, url):
        port = int(url.rstrip("/").rpartition(":")[2])

        def send() -> None:
            while True:
                with lock:
                    number = next(turn, None)
                if number is None:
                    return
                helpers.until(lambda n=number: helpers.post_photo(port, photos[n % 4])[0] == 200, "the photo is read")

        assert helpers.post_photo(port, photos[2])[0] == 200  # opens the networks
        before = anonymous_bytes(program.process.pid)
        threads = [threading.Thread(target=send) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        end = time.monotonic() + 30  # given back after the answer
        while (grown := anonymous_bytes(program.process.pid) - before) >= MOST_BYTES and time.monotonic() < end:
            time.sleep(0.1)
    assert grown < MOST_BYTES, f"{grown / 1e6:.1f} MB more"


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    assert not allocator.keep_little()
