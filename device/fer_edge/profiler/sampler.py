"""Reads power, temperature and clocks in a thread of its own while something is measured."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from fer_edge.board.identify import kib_field, read_text
from fer_edge.board.sensors import thermal_facts
from fer_edge.contract.bench import Signal
from fer_edge.profiler.interference import clocks_mhz
from fer_edge.profiler.power import PowerProbe
from fer_edge.profiler.power.energy import Sample
from fer_edge.program.threads import GuardedThread

LONGEST_READ_S = 30.0  # of a probe, at the end
SLOW_S = 1.0  # heat and clocks change slowly, and reading them takes a processor's time
MAX_POINTS = 600  # in a report


class Sampler:
    """Samples between ``start`` and ``stop``; times are those of ``time.monotonic``.

    Args:
        probe: of power; None measures none.
        root: of /sys.
    """

    probe: PowerProbe | None

    def __init__(self, probe: PowerProbe | None, root: Path = Path("/")) -> None:
        self.probe, self._root = probe, root
        self.power: list[Sample] = []
        self.temperature: list[Sample] = []
        self.clock: list[Sample] = []
        self.memory: list[Sample] = []  # MiB
        self.lowest_mhz: dict[str, float] = {}
        self._ended = threading.Event()
        self._thread = GuardedThread("sampler", self._run, SLOW_S / 10)

    def __enter__(self) -> Sampler:
        """Begins."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends; all lists are complete then."""
        self._ended.set()
        self._thread.close(LONGEST_READ_S)

    def _run(self) -> None:
        next_slow_s = next_s = time.monotonic()
        period_s = self.probe.period_s if self.probe is not None else SLOW_S
        while True:
            now_s = time.monotonic()
            if self.probe is not None:
                value = self.probe.read_w()
                # between the two: vcgencmd takes milliseconds
                self.power.append(Sample((now_s + time.monotonic()) / 2, value))
            if now_s >= next_slow_s:
                next_slow_s = now_s + SLOW_S
                self._slow(now_s)
            next_s = max(next_s + period_s, time.monotonic())
            if self._ended.wait(next_s - time.monotonic()):
                return

    def _slow(self, now_s: float) -> None:
        resident = kib_field(read_text(self._root / "proc/self/status"), "VmRSS")
        if resident is not None:
            self.memory.append(Sample(now_s, resident / (1 << 20)))
        zones = thermal_facts(self._root).zones_c
        if zones:
            self.temperature.append(Sample(now_s, max(zones.values())))
        clocks = clocks_mhz(self._root)
        for name, mhz in clocks.items():
            self.lowest_mhz[name] = min(mhz, self.lowest_mhz.get(name, mhz))
        if clocks:
            self.clock.append(Sample(now_s, sum(clocks.values()) / len(clocks)))


def signal(
    unit: str, samples: list[Sample], start_s: float, gaps: tuple[tuple[float, float], ...] = ()
) -> Signal | None:
    """Samples as a report holds them: times since ``start_s``, at most MAX_POINTS; None where there is none."""
    known = [(sample.t_s - start_s, sample.w) for sample in samples if sample.w is not None]
    if not known:
        return None
    step = -(-len(known) // MAX_POINTS)
    kept = known[::step]
    return Signal(
        unit,
        tuple(round(t, 3) for t, _ in kept),
        tuple(round(value, 4) for _, value in kept),
        tuple((round(a - start_s, 3), round(b - start_s, 3)) for a, b in gaps),
    )
