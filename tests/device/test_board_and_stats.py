"""What the bench says of the machine (recorded trees) and of its timings (by hand)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge import board
from fer_edge.stats import summarize


def tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


PI5 = {
    "proc/device-tree/model": b"Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/cpuinfo": b"processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd asimddp\n\nRevision\t: d04170\n"
    b"Model\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": b"ondemand\n",
    "proc/self/status": b"Name:\tpython3\nVmPeak:\t  200000 kB\nVmHWM:\t   54321 kB\nVmRSS:\t   50000 kB\n",
    "proc/self/smaps_rollup": b"5555-7fff ---p 00000000 00:00 0 [rollup]\nRss: 50000 kB\nPss:            48000 kB\n"
    b"Pss_Dirty: 1 kB\n",
}
ORIN = {
    "proc/device-tree/model": b"NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": b"schedutil\n",
}
X86 = {"proc/cpuinfo": b"processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) CPU @ 2.60GHz\n"}


def test_raspberry_pi(tmp_path: Path) -> None:
    root = tree(tmp_path, PI5)
    assert board.board_name(root) == "Raspberry Pi 5 Model B Rev 1.0"
    assert board.cpu_name(root) == "Raspberry Pi 5 Model B Rev 1.0"
    assert board.governor(root) == "ondemand"
    assert board.peak_rss_bytes(root) == 54321 * 1024
    assert board.pss_bytes(root) == 48000 * 1024


def test_jetson(tmp_path: Path) -> None:
    root = tree(tmp_path, ORIN)
    assert board.board_name(root).startswith("NVIDIA Jetson Orin Nano")
    assert board.governor(root) == "schedutil"


def test_a_pc_and_a_machine_that_shows_nothing(tmp_path: Path) -> None:
    root = tree(tmp_path / "pc", X86)
    assert board.cpu_name(root) == "Intel(R) Xeon(R) CPU @ 2.60GHz"
    assert board.board_name(root).startswith("unknown")
    bare = tmp_path / "bare"
    assert board.governor(bare) == "unknown"
    assert board.pss_bytes(bare) is None
    assert board.peak_rss_bytes(bare) == 0
    assert board.cpu_name(bare)


def test_this_machine() -> None:
    assert board.peak_rss_bytes() > 5_000_000
    assert board.board_name()


def test_summary_by_hand() -> None:
    timing = summarize([1.0, 2.0, 3.0, 4.0])
    assert timing.mean_ms == 2.5
    assert timing.p50_ms == 2.5
    assert timing.p90_ms == pytest.approx(3.7)
    half = 1.96 * np.sqrt(5 / 3) / 2
    assert timing.ci95_ms == pytest.approx((2.5 - half, 2.5 + half), abs=1e-3)


@given(st.lists(st.floats(0.01, 1e4), min_size=2, max_size=50))
def test_summary_is_ordered(times: list[float]) -> None:
    t = summarize(times)
    assert min(times) - 1e-3 <= t.p50_ms <= t.p90_ms <= t.p95_ms <= t.p99_ms <= max(times) + 1e-3
    assert t.ci95_ms[0] <= t.mean_ms <= t.ci95_ms[1]
