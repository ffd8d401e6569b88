"""Power: one small module a kind of sensor, behind ``PowerProbe``; ``find_probe`` takes what this machine has."""

from __future__ import annotations

from pathlib import Path

from fer_edge.board.commands import Run
from fer_edge.profiler.power.hwmon import find_ina_hwmon
from fer_edge.profiler.power.jetson import find_jetson
from fer_edge.profiler.power.pi5 import find_pi5
from fer_edge.profiler.power.probe import Found, PowerProbe
from fer_edge.profiler.power.rapl import find_rapl

__all__ = ["PowerProbe", "find_probe"]

# What measures the whole board comes first: an INA on the supply line, then the board's own.
FINDERS = (find_ina_hwmon, find_jetson, find_pi5, find_rapl)


def find_probe(root: Path, run: Run) -> Found:
    """The first sensor that answers, else why there is none.

    Args:
        root: of /sys; recorded trees are tested.
        run: runs vcgencmd.
    """
    notes = []
    for find in FINDERS:
        found = find(root, run)
        if found.probe is not None:
            return found
        if found.note:
            notes.append(found.note)
    return Found(None, "; ".join(notes) or "this machine has no power sensor that fer-edge knows")
