"""What was read of libraries while they were loaded is let go, and nothing that was written."""

import subprocess
import sys
from pathlib import Path

from fer_edge.program import pages

PART = """7f0000000000-7f0000010000 {mode} 00000000 08:01 {inode}                    {path}
Size:                 64 kB
Rss:                  {rss} kB
Private_Dirty:        {dirty} kB
Shared_Dirty:          0 kB
Anonymous:            {anonymous} kB
Swap:                 {swap} kB
Locked:               0 kB
VmFlags: rd ex mr mw me
"""


def part(mode="r-xp", inode=42, path="/usr/lib/libx.so", rss=48, dirty=0, anonymous=0, swap=0):
    return PART.format(**locals())


def test_only_parts_of_files_that_hold_nothing_of_our_own():
    (found,) = pages.unwritten(part())
    assert found == (0x7F0000000000, 0x10000, 48 * 1024)
    assert pages.unwritten(part(mode="r--p", path="/a name with spaces.so"))
    for kept in (
        part(mode="rw-p"),
        part(mode="rwxp"),
        part(mode="r--s"),
        part(dirty=4),
        part(anonymous=4),
        part(swap=4),
        part(rss=0),
        part(path="[vdso]", inode=0),
        part(path="", inode=0),
    ):
        assert pages.unwritten(kept) == [], kept
    assert len(pages.unwritten(part() + part(anonymous=8) + part())) == 2


def test_absent_smaps_lets_nothing_go(tmp_path: Path):
    assert pages.let_go(tmp_path / "smaps") == 0


CHILD = """
import numpy as np, cv2
from fer_edge.program import pages

def files_kib():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssFile:"))

picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)

def work():
    small = cv2.resize(picture, (40, 40), interpolation=cv2.INTER_AREA).astype(np.float64)
    return np.linalg.inv(small[:, :, 0] @ small[:, :, 1].T + np.eye(40) * 1e6), cv2.imencode(".png", picture)[1]

before, first = files_kib(), work()
assert pages.let_go() > 0
after = files_kib()
again = work()
assert all(np.array_equal(a, b) for a, b in zip(first, again))
try:
    work_fails = cv2.resize(picture, (0, 0))
except cv2.error:  # C++ exceptions find their tables again
    pass
import json, decimal, zlib  # and so does what is loaded after
print(before, after)
"""


def test_libraries_work_on_and_their_files_take_less():
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert after < before / 2
