"""Heat and alarms of the board, from /sys and the vendors' commands: vcgencmd, nvpmodel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fer_edge.board.commands import Run
from fer_edge.board.identify import read_text

# Jetson Nano's PMIC-Die always says 100 °C; the fan's estimate is an average of others.
_FIXED_ZONES = ("PMIC-Die", "thermal-fan-est")


@dataclass(frozen=True)
class ThermalFacts:
    """Zones that answered, in °C, and the names of those left out (no answer, or a fixed value)."""

    zones_c: dict[str, float]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class ThrottleFacts:
    """The board's own alarms; None or empty where it has no such sensor. ``flags`` are vcgencmd's bits."""

    flags: int | None
    flags_problem: str
    under_voltage_alarm: bool | None
    over_current_counts: dict[str, int]
    power_mode: str

    @property
    def tells(self) -> bool:
        """Whether any of them answered: without one, nothing is known of throttling, which is not the same as none."""
        return self.flags is not None or self.under_voltage_alarm is not None or bool(self.over_current_counts)


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
