"""What else happened while measuring: other processes, a busy host, throttling, clocks, heat. It taints the numbers.

``Watch`` looks before and after; every sentence says what was seen, and a run without any is clean.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from fer_edge.board.commands import Run, run
from fer_edge.board.identify import read_text
from fer_edge.board.sensors import ThermalFacts, ThrottleFacts, thermal_facts, throttle_facts

UNKNOWN = "unknown"  # throttling flags of a machine that has none that we read
OTHERS_SHARE = 0.10  # of all processors: above it, others took part of this run's time
STEAL_SHARE = 0.02
CLOCK_DROP = 0.05
WARM_C = 15.0  # a rise by this much says that the run began cold
FLAG_WORDS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}


@dataclass(frozen=True)
class Look:
    """One look. Times in s of one processor since boot; ``clocks_mhz`` by cpufreq policy."""

    busy_s: float | None
    steal_s: float | None
    total_s: float | None
    own_s: float
    throttle: ThrottleFacts
    thermal: ThermalFacts
    clocks_mhz: dict[str, float]
    swapped_pages: int | None

    @property
    def flags(self) -> str:
        """The board's throttling flags, as vcgencmd writes them."""
        return UNKNOWN if self.throttle.flags is None else f"{self.throttle.flags:#x}"

    @property
    def hottest_c(self) -> float | None:
        """Of all zones."""
        return max(self.thermal.zones_c.values(), default=None)


def look(root: Path = Path("/"), command: Run = run) -> Look:
    """Reads all of it once."""
    busy, steal, total = _cpu_times(read_text(root / "proc/stat"))
    own = os.times()
    swapped = re.search(r"^pswpin (\d+)$", read_text(root / "proc/vmstat"), re.MULTILINE)
    return Look(
        busy,
        steal,
        total,
        own.user + own.system + own.children_user + own.children_system,
        throttle_facts(root, command),
        thermal_facts(root),
        clocks_mhz(root),
        int(swapped[1]) if swapped else None,
    )


def clocks_mhz(root: Path = Path("/")) -> dict[str, float]:
    """The processors' clocks now, by cpufreq policy."""
    found = {}
    for policy in sorted((root / "sys/devices/system/cpu/cpufreq").glob("policy*")):
        text = read_text(policy / "scaling_cur_freq")
        if text.isdecimal():
            found[policy.name] = int(text) / 1000
    return found


def judge(before: Look, after: Look, lowest_mhz: dict[str, float] | None = None) -> tuple[str, ...]:
    """Why the numbers between two looks are not those of an undisturbed machine; empty where nothing shows.

    Args:
        before: just after the warm-up.
        after: at the end.
        lowest_mhz: of each clock while measuring, where it was watched.
    """
    reasons = [*_others(before, after), *_throttling(before.throttle, after.throttle)]
    for name, mhz in before.clocks_mhz.items():
        lowest = min((lowest_mhz or {}).get(name, mhz), after.clocks_mhz.get(name, mhz))
        if lowest < mhz * (1 - CLOCK_DROP):
            reasons.append(f"clock of {name} fell from {mhz:.0f} to {lowest:.0f} MHz")
    if before.hottest_c is not None and after.hottest_c is not None and after.hottest_c - before.hottest_c > WARM_C:
        reasons.append(f"temperature rose from {before.hottest_c:.0f} to {after.hottest_c:.0f} °C: not a steady state")
    if before.swapped_pages is not None and after.swapped_pages is not None:
        swapped = after.swapped_pages - before.swapped_pages
        if swapped > 0:
            reasons.append(f"{swapped} pages came back from swap")
    return tuple(reasons)


def _others(before: Look, after: Look) -> list[str]:
    """Time that other processes, or other machines on the same host, took."""
    if before.busy_s is None or after.busy_s is None or before.total_s is None or after.total_s is None:
        return []
    total = after.total_s - before.total_s
    if total <= 0:
        return []
    reasons = []
    others = (after.busy_s - before.busy_s - (after.own_s - before.own_s)) / total
    if others > OTHERS_SHARE:
        reasons.append(f"other processes used {others:.0%} of the processors")
    if before.steal_s is not None and after.steal_s is not None:
        steal = (after.steal_s - before.steal_s) / total
        if steal > STEAL_SHARE:
            reasons.append(f"this virtual machine's host took {steal:.0%} of its processors")
    return reasons


def _throttling(before: ThrottleFacts, after: ThrottleFacts) -> list[str]:
    """Alarms that hold now, or came up in between (bits 16 and up remember)."""
    reasons = []
    old, new = before.flags or 0, after.flags or 0
    for bit, word in FLAG_WORDS.items():
        if (old | new) >> bit & 1:
            reasons.append(f"{word} while measuring")
        elif (new & ~old) >> (bit + 16) & 1:
            reasons.append(f"{word} occurred while measuring")
    if (before.under_voltage_alarm or after.under_voltage_alarm) and not any("under-voltage" in r for r in reasons):
        reasons.append("under-voltage while measuring")
    for name, count in after.over_current_counts.items():
        more = count - before.over_current_counts.get(name, 0)
        if more > 0:
            reasons.append(f"over-current alarm {name} came {more} times")
    return reasons


def _cpu_times(stat: str) -> tuple[float | None, float | None, float | None]:
    """(busy, steal, total) in s from /proc/stat: user nice system idle iowait irq softirq steal (proc(5))."""
    found = re.match(r"cpu +(\d+(?: \d+)+)", stat)
    if not found:
        return None, None, None
    ticks = [int(field) / os.sysconf("SC_CLK_TCK") for field in found[1].split()][:8]
    idle = sum(ticks[3:5])
    steal = ticks[7] if len(ticks) > 7 else 0.0
    return sum(ticks) - idle - steal, steal, sum(ticks)
