"""Facts about memory, the governor and the clock, from /proc and /sys; heat and alarms are in ``board/sensors.py``."""

from __future__ import annotations

import datetime
from pathlib import Path

from fer_edge.board.identify import governor, kib_field, read_text
from fer_edge.doctor.facts import ClockFacts, GovernorFacts, MemoryFacts


def memory_facts(root: Path) -> MemoryFacts:
    """Raises ValueError where /proc/meminfo cannot be read."""
    text = read_text(root / "proc/meminfo")
    total, available = kib_field(text, "MemTotal"), kib_field(text, "MemAvailable")
    if total is None or available is None:
        raise ValueError("no MemTotal and MemAvailable in /proc/meminfo")
    return MemoryFacts(
        total_bytes=total,
        available_bytes=available,
        swap_total_bytes=kib_field(text, "SwapTotal") or 0,
        swap_free_bytes=kib_field(text, "SwapFree") or 0,
        has_zram=any(
            line.startswith(("/dev/zram", "/zram")) for line in read_text(root / "proc/swaps").splitlines()[1:]
        ),
        cma_total_bytes=kib_field(text, "CmaTotal"),
        cma_free_bytes=kib_field(text, "CmaFree"),
        has_memory_cgroup=_has_memory_cgroup(root),
    )


def _has_memory_cgroup(root: Path) -> bool | None:
    unified = read_text(root / "sys/fs/cgroup/cgroup.controllers")
    if unified:
        return "memory" in unified.split()
    for line in read_text(root / "proc/cgroups").splitlines():
        fields = line.split()
        if fields[:1] == ["memory"]:
            return fields[-1] == "1"
    return None


def governor_facts(root: Path) -> GovernorFacts:
    """The first CPU's."""
    policy = root / "sys/devices/system/cpu/cpufreq/policy0"
    available = read_text(policy / "scaling_available_governors").split()
    return GovernorFacts(governor(root), read_text(policy / "scaling_driver"), tuple(available))


def clock_facts() -> ClockFacts:
    """Now."""
    return ClockFacts(datetime.datetime.now().astimezone())
