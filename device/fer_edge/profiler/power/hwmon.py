"""INA219, INA226, INA260, INA238 as Linux' own drivers show them: Documentation/hwmon/ina2xx.rst and ina238.rst.

``in1_input`` mV, ``curr1_input`` mA, ``power1_input`` **microwatt**.
"""

from __future__ import annotations

from pathlib import Path

from fer_edge.board.commands import Run
from fer_edge.board.identify import read_text
from fer_edge.profiler.power.probe import FILE_PERIOD_S, Found, whole

CHIPS = ("ina219", "ina220", "ina226", "ina230", "ina231", "ina260", "ina237", "ina238")


class InaProbe:
    """One chip: its own product where it has one, else voltage times current."""

    name: str
    coverage: str

    period_s = FILE_PERIOD_S

    def __init__(self, folder: Path, chip: str) -> None:
        self._folder, self.name = folder, f"{chip} ({folder.name})"
        label = read_text(folder / "in1_label")
        shunt = whole(folder / "shunt_resistor")
        what = f"the line {label}" if label else "whatever line it is wired into"
        self.coverage = what + (f", shunt {shunt / 1000:g} mOhm" if shunt is not None and shunt > 0 else "")

    def read_w(self) -> float | None:
        """See ``PowerProbe.read_w``."""
        microwatt = whole(self._folder / "power1_input")
        if microwatt is not None:
            return microwatt / 1e6
        millivolt, milliampere = whole(self._folder / "in1_input"), whole(self._folder / "curr1_input")
        return None if millivolt is None or milliampere is None else millivolt * milliampere / 1e6


def find_ina_hwmon(root: Path, _: Run) -> Found:
    """The first such chip that answers."""
    note = ""
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*"), key=lambda path: (len(path.name), path.name)):
        chip = read_text(folder / "name")
        if chip in CHIPS:
            probe = InaProbe(folder, chip)
            if probe.read_w() is not None:
                return Found(probe)
            note = f"{probe.name}: it does not answer"
    return Found(None, note)
