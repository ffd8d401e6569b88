"""Facts about memory, heat, alarms and clocks, from /proc, /sys and vcgencmd."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

from fer_edge.board.commands import Run
from fer_edge.board.identify import governor, kib_field, read_text
from fer_edge.doctor.facts import ClockFacts, GovernorFacts, MemoryFacts, ThermalFacts, ThrottleFacts

# Jetson Nano's PMIC-Die always says 100 °C; the fan's estimate is an average of others.
_FIXED_ZONES = ("PMIC-Die", "thermal-fan-est")


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


def thermal_facts(root: Path) -> ThermalFacts:
    """All thermal zones; one whose chip is powered down does not answer."""
    zones: dict[str, float] = {}
    left_out = []
    folder = root / "sys/class/thermal"
    for zone in sorted(folder.glob("thermal_zone*"), key=lambda path: int(path.name[12:] or 0)):
        name = read_text(zone / "type") or zone.name
        value = read_text(zone / "temp")
        if name in _FIXED_ZONES or not re.fullmatch(r"-?\d+", value):
            left_out.append(name)
        else:
            zones[name if name not in zones else f"{name} ({zone.name})"] = int(value) / 1000
    return ThermalFacts(zones, tuple(left_out))


def throttle_facts(root: Path, run: Run) -> ThrottleFacts:
    """The firmware's flags, the kernel's under-voltage alarm, a Jetson's over-current counts and power mode."""
    flags, problem = _throttled(run)
    alarm: bool | None = None
    counts: dict[str, int] = {}
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if read_text(folder / "name") == "rpi_volt":
            alarm = {"0": False, "1": True}.get(read_text(folder / "in0_lcrit_alarm"))
        for file in sorted(folder.glob("oc*_event_cnt")):
            count = read_text(file)
            if count.isdecimal():
                counts[file.name.partition("_")[0]] = int(count)
    return ThrottleFacts(flags, problem, alarm, counts, _power_mode(run))


def _throttled(run: Run) -> tuple[int | None, str]:
    """The bits of ``vcgencmd get_throttled``, or None and why not ("" where there is no vcgencmd at all)."""
    try:
        output = run("vcgencmd", "get_throttled")
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, str(error)
    found = re.fullmatch(r"throttled=(0x[0-9a-fA-F]+)", output.strip())
    return (int(found[1], 16), "") if found else (None, " ".join(output.split())[:200] or "no output")


def _power_mode(run: Run) -> str:
    try:
        found = re.search(r"NV Power Mode:\s*(\S+)", run("nvpmodel", "-q"))
    except OSError:
        return ""
    return found[1] if found else ""


def governor_facts(root: Path) -> GovernorFacts:
    """The first CPU's."""
    policy = root / "sys/devices/system/cpu/cpufreq/policy0"
    available = read_text(policy / "scaling_available_governors").split()
    return GovernorFacts(governor(root), read_text(policy / "scaling_driver"), tuple(available))


def clock_facts() -> ClockFacts:
    """Now."""
    return ClockFacts(datetime.datetime.now().astimezone())
