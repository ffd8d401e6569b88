"""What machine this is, read from /proc and /sys; the root is an argument so that recorded trees can be tested."""

from __future__ import annotations

import platform
from pathlib import Path


def board_name(root: Path = Path("/")) -> str:
    """The device tree's model, else the CPU architecture."""
    model = _text(root / "proc" / "device-tree" / "model")
    return model or f"unknown {platform.machine()} machine"


def cpu_name(root: Path = Path("/")) -> str:
    """The CPU's name as /proc/cpuinfo gives it."""
    for line in _text(root / "proc" / "cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "Hardware") and value.strip():
            return value.strip()
    return platform.machine()


def governor(root: Path = Path("/")) -> str:
    """The frequency governor of the first CPU; "unknown" where the kernel shows none."""
    return _text(root / "sys/devices/system/cpu/cpufreq/policy0/scaling_governor") or "unknown"


def peak_rss_bytes(root: Path = Path("/")) -> int:
    """Peak resident set of this process (VmHWM); 0 where the kernel shows none."""
    return _kib(_text(root / "proc/self/status"), "VmHWM:") or 0


def pss_bytes(root: Path = Path("/")) -> int | None:
    """Proportional set size of this process; None where the kernel shows none."""
    return _kib(_text(root / "proc/self/smaps_rollup"), "Pss:")


def _kib(text: str, key: str) -> int | None:
    for line in text.splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""
