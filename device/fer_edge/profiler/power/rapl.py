"""x86: processor packages' energy counters, Linux Documentation/power/powercap/powercap.rst; usually root's only."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from fer_edge.board.commands import Run
from fer_edge.board.identify import read_text
from fer_edge.profiler.power.probe import FILE_PERIOD_S, Found, whole


class RaplProbe:
    """Mean power of all packages since the reading before; the counters wrap at ``max_energy_range_uj``."""

    name: str
    coverage: str

    period_s = FILE_PERIOD_S

    def __init__(self, zones: tuple[Path, ...], clock: Callable[[], float] = time.monotonic) -> None:
        self._zones, self._clock = zones, clock
        names = ", ".join(read_text(zone / "name") or zone.name for zone in zones)
        self.name = f"rapl {names}"
        self.coverage = f"partial: the processor ({names}); not memory, disks, screen, supply"
        self._ranges = [whole(zone / "max_energy_range_uj") for zone in zones]
        self._last = self._read()

    def read_w(self) -> float | None:
        """See ``PowerProbe.read_w``; None also for the first reading after a gap, which has nothing before it."""
        before, self._last = self._last, self._read()
        if before is None or self._last is None or self._last[0] <= before[0]:
            return None
        joules = 0.0
        for old, new, wrap in zip(before[1], self._last[1], self._ranges, strict=True):
            if new < old and wrap is None:
                return None
            joules += (new - old + (wrap or 0 if new < old else 0)) / 1e6
        return joules / (self._last[0] - before[0])

    def _read(self) -> tuple[float, list[int]] | None:
        now = self._clock()
        counters = [whole(zone / "energy_uj") for zone in self._zones]
        known = [counter for counter in counters if counter is not None]
        return (now, known) if len(known) == len(counters) else None


def find_rapl(root: Path, _: Run) -> Found:
    """All packages (``intel-rapl:0``, also on AMD); their parts (core, uncore) are in them, psys holds them."""
    zones = tuple(
        zone
        for zone in sorted((root / "sys/class/powercap").glob("intel-rapl:*"))
        if read_text(zone / "name").startswith("package")
    )
    if not zones:
        return Found(None)
    if any(whole(zone / "energy_uj") is None for zone in zones):
        who = "" if os.geteuid() == 0 else "; run as root"
        return Found(None, f"rapl: its counters cannot be read{who}")
    return Found(RaplProbe(zones))
