"""What every power probe is: a name, what it covers, and a reading in W, or None where it gives none now."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple, Protocol

from fer_edge.board.identify import read_text


class PowerProbe(Protocol):
    """A sensor that was there when it was found."""

    @property
    def name(self) -> str:
        """For reports, e.g. ``ina3221 1-0040``."""
        ...

    @property
    def coverage(self) -> str:
        """Which rails it sees, and which it does not."""
        ...

    @property
    def period_s(self) -> float:
        """How often to ask: what it costs to ask must not become part of what is measured."""
        ...

    def read_w(self) -> float | None:
        """Power now in W; None where the sensor does not answer. Never raises, never repeats an old value."""
        ...


FILE_PERIOD_S = 0.1  # reading a file of sysfs
COMMAND_PERIOD_S = 0.5  # starting a process takes some ms of processor time (benchmarks/overhead.py)


class Found(NamedTuple):
    """A probe, or None and why (empty: this kind of sensor is simply not there)."""

    probe: PowerProbe | None
    note: str = ""


def whole(path: Path) -> int | None:
    """A whole number in a sysfs file; None where it cannot be read or is none."""
    text = read_text(path)
    return int(text) if re.fullmatch(r"-?\d+", text) else None
