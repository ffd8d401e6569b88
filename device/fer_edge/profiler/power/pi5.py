"""Raspberry Pi 5: its power management chip, by ``vcgencmd pmic_read_adc``. Partial: what hangs on 5 V is not in it.

12 rails with current and voltage; EXT5V and BATT have a voltage only (https://github.com/jfikar/RPi5-power).
"""

from __future__ import annotations

import re
from pathlib import Path

from fer_edge.board.commands import Run
from fer_edge.profiler.power.probe import COMMAND_PERIOD_S, Found

_LINE = re.compile(r"^\s*(\w+)_([AV]) (?:current|volt)\(\d+\)=([0-9.]+)[AV]\s*$", re.MULTILINE)


class PmicProbe:
    """Sum of voltage times current over the rails that have both."""

    period_s = COMMAND_PERIOD_S
    name = "pi5-pmic-rails (partial)"
    coverage = "partial: the chip's 12 rails; not USB, HATs, NVMe, nor the converters' own losses"

    def __init__(self, run: Run) -> None:
        self._run = run

    def read_w(self) -> float | None:
        """See ``PowerProbe.read_w``."""
        try:
            return rails_w(self._run("vcgencmd", "pmic_read_adc"))
        except OSError:
            return None


def rails_w(text: str) -> float | None:
    """W over all rails with both values in ``vcgencmd pmic_read_adc``'s output; None where there is no such rail."""
    rails: dict[str, dict[str, float]] = {}
    for name, kind, value in _LINE.findall(text):
        rails.setdefault(name, {})[kind] = float(value)
    products = [rail["A"] * rail["V"] for rail in rails.values() if len(rail) == 2]
    return sum(products) if products else None


def find_pi5(_: Path, run: Run) -> Found:
    """The probe where vcgencmd knows such rails; a Pi 4 answers with an error text."""
    try:
        text = run("vcgencmd", "pmic_read_adc")
    except FileNotFoundError:
        return Found(None)
    except OSError as error:
        return Found(None, f"vcgencmd: {error}")
    if rails_w(text) is not None:
        return Found(PmicProbe(run))
    return Found(
        None, "this Raspberry Pi has no power sensor; an INA219, INA226 or INA260, or a meter's CSV, can be used"
    )
