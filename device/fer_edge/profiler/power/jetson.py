"""NVIDIA Jetson: the INA3221 on its board as JetPack 4 (iio) and JetPack 5 and 6 (hwmon) show it.

Paths and names: NVIDIA's kernel (ina3221x) and Linux Documentation/hwmon/ina3221.rst; which rails count: jtop's
power.py (https://github.com/rbonghi/jetson_stats). An INA238 (Thor) is found with the other hwmon chips.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fer_edge.board.commands import Run
from fer_edge.board.identify import read_text
from fer_edge.profiler.power.probe import FILE_PERIOD_S, Found, whole

TOTALS = ("VDD_IN", "POM_5V_IN")  # rails that feed all others
_SUM_OF_SHUNTS = 7  # the driver's in7 is no rail


class Rail(NamedTuple):
    """One channel: voltage in mV and current in mA, or power in mW (JetPack 4 has it too)."""

    label: str
    volt: Path
    current: Path

    def read_w(self) -> float | None:
        """Power now."""
        millivolt, milliampere = whole(self.volt), whole(self.current)
        return None if millivolt is None or milliampere is None else millivolt * milliampere / 1e6


class Ina3221Probe:
    """One total rail, or the sum of all."""

    name: str
    coverage: str

    period_s = FILE_PERIOD_S

    def __init__(self, name: str, rails: tuple[Rail, ...], is_total: bool) -> None:
        self.name, self._rails = name, rails
        labels = ", ".join(rail.label for rail in rails)
        self.coverage = f"the whole module ({labels})" if is_total else f"partial: the rails {labels}"

    def read_w(self) -> float | None:
        """See ``PowerProbe.read_w``: one rail without an answer leaves no sum."""
        parts = [rail.read_w() for rail in self._rails]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None


def find_jetson(root: Path, _: Run) -> Found:
    """The rail that feeds the module, else all rails of all chips."""
    rails: dict[str, list[Rail]] = {}
    for driver in ("ina3221x", "ina3221"):
        for device in sorted((root / "sys/bus/i2c/drivers" / driver).glob("*-00*")):
            chip = f"ina3221 {device.name}"
            for folder in sorted(device.glob("iio:device*")):
                rails.setdefault(chip, []).extend(_iio_rails(folder))
            for folder in sorted(device.glob("hwmon/hwmon*")):
                rails.setdefault(chip, []).extend(_hwmon_rails(folder))
    everything = [(chip, rail) for chip, listed in rails.items() for rail in listed]
    for total in TOTALS:
        for chip, rail in everything:
            if rail.label == total:
                return _answering(Ina3221Probe(chip, (rail,), is_total=True))
    if not everything:
        return Found(None)
    return _answering(Ina3221Probe(" + ".join(rails), tuple(rail for _, rail in everything), is_total=False))


def _answering(probe: Ina3221Probe) -> Found:
    if probe.read_w() is None:
        return Found(None, f"{probe.name}: its files cannot be read; try as root")
    return Found(probe)


def _iio_rails(folder: Path) -> list[Rail]:
    """JetPack 4: rail_name_0, in_voltage0_input, in_current0_input."""
    found = []
    for file in sorted(folder.glob("rail_name_*")):
        n = file.name.rpartition("_")[2]
        label = read_text(file)
        if label and "NC" not in label:
            found.append(Rail(label, folder / f"in_voltage{n}_input", folder / f"in_current{n}_input"))
    return found


def _hwmon_rails(folder: Path) -> list[Rail]:
    """JetPack 5 and 6: in1_label, in1_input, curr1_input."""
    found = []
    for file in sorted(folder.glob("in*_label")):
        n = file.name[2:].partition("_")[0]
        label = read_text(file)
        if label and "NC" not in label and n != str(_SUM_OF_SHUNTS):
            found.append(Rail(label, folder / f"in{n}_input", folder / f"curr{n}_input"))
    return found
