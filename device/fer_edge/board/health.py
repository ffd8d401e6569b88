"""Heat and alarms while running: the daemon lowers its own rate before the firmware does, and comes back.

What is decided is in ``RatePolicy`` and ``Pacer``, which know no clock; ``HealthMonitor`` reads the sensors.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fer_edge.board.commands import Run, run
from fer_edge.board.sensors import ThermalFacts, ThrottleFacts, thermal_facts, throttle_facts
from fer_edge.contract.limits import Limited, Problem, within
from fer_edge.program.threads import GuardedThread

FACTORS = (1.0, 0.5, 0.25)
# vcgencmd get_throttled (Raspberry Pi's documentation, raspberrypi.com/documentation/computers/os.html)
FLAG_WORDS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}


@dataclass(frozen=True)
class HealthSettings(Limited):
    """When the daemon lowers its own rate.

    Args:
        enabled: false leaves the rate alone.
        hot_c: from this temperature of the hottest zone on it slows down (a Pi slows itself at 80 to 85 °C).
        cool_c: below this it comes back; in between nothing changes.
        slower_after_s: between two steps down.
        faster_after_s: how long it must have been well for a step up.
        interval_s: between two looks at the sensors.
    """

    enabled: bool = True
    hot_c: float = 78.0
    cool_c: float = 70.0
    slower_after_s: float = within(15.0, 0.001, 86400, "s")
    faster_after_s: float = within(60.0, 0.001, 86400, "s")
    interval_s: float = within(5.0, 0.001, 3600, "s")

    def conflicts(self) -> Iterator[Problem]:
        """Both temperatures, in their order."""
        if not 0 < self.cool_c < self.hot_c <= 120:
            found = f"found cool_c {self.cool_c:g}, hot_c {self.hot_c:g}"
            yield "cool_c", f"{found}; expected 0 < cool_c < hot_c <= 120"


@dataclass(frozen=True)
class Health:
    """One look at the sensors: the hottest zone in °C, and the board's alarms in words; None where it tells none.

    ``tells_throttling`` says whether the board has a sensor for alarms that answered.
    """

    temperature_c: float | None = None
    throttled: str | None = None
    tells_throttling: bool = False


class RatePolicy:
    """Which share of the full rate to run at: 1, 0.5 or 0.25, one step at a time, with hysteresis.

    Hot or throttled lowers it; only a while below ``cool_c`` without any alarm raises it again. Times in s.
    """

    def __init__(self, settings: HealthSettings) -> None:
        self._settings, self._step = settings, 0
        self._changed_at_s: float | None = None
        self._well_since_s: float | None = None

    @property
    def factor(self) -> float:
        """The share now."""
        return FACTORS[self._step]

    def decide(self, health: Health, now_s: float) -> float:
        """The share from now on."""
        settings, hot_c = self._settings, health.temperature_c
        is_bad = health.throttled is not None or (hot_c is not None and hot_c >= settings.hot_c)
        is_well = health.throttled is None and (hot_c is None or hot_c < settings.cool_c)
        if not is_well:
            self._well_since_s = None
        elif self._well_since_s is None:
            self._well_since_s = now_s
        if is_bad and self._step < len(FACTORS) - 1 and self._is_over(settings.slower_after_s, now_s):
            self._step, self._changed_at_s = self._step + 1, now_s
        elif self._step and self._well_since_s is not None and now_s - self._well_since_s >= settings.faster_after_s:
            self._step, self._changed_at_s, self._well_since_s = self._step - 1, now_s, now_s
        return self.factor

    def _is_over(self, wait_s: float, now_s: float) -> bool:
        return self._changed_at_s is None or now_s - self._changed_at_s >= wait_s


class Pacer:
    """Stretches the time from frame to frame: twice as long at half the rate. Times in s.

    The full rate is what was measured while nothing was held back, whatever limits it there (camera or processor).
    """

    WEIGHT = 0.1  # of the newest interval in the mean
    LONGEST_S = 2.0  # a clip that stalls, or a pause, is no rate

    def __init__(self) -> None:
        self._period_s: float | None = None
        self._last_s: float | None = None
        self._was_full = False

    def wait_s(self, factor: float, now_s: float) -> float:
        """How long to wait before the next frame; called once a frame, when the last one is done."""
        last_s, self._last_s = self._last_s, now_s
        if last_s is None:
            return 0.0
        took_s = min(now_s - last_s, self.LONGEST_S)
        if factor >= 1:
            if self._was_full:
                before = self._period_s
                self._period_s = took_s if before is None else before + self.WEIGHT * (took_s - before)
            self._was_full = True
            return 0.0
        self._was_full = False
        if self._period_s is None:
            self._period_s = took_s  # hot from the start: the first interval has to do
        wait_s = max(0.0, self._period_s / factor - took_s)
        self._last_s = now_s + wait_s
        return wait_s

    def forget(self) -> None:
        """After a pause that was not the rate's."""
        self._last_s, self._was_full = None, False


class HealthMonitor:
    """Looks at the board's sensors every few seconds, in a thread of its own: vcgencmd may take its time.

    Args:
        settings: when to slow down.
        root: folder that holds proc/ and sys/; a recorded tree in tests.
        command: runs vcgencmd.
    """

    settings: HealthSettings
    health: Health
    rate_factor: float

    def __init__(self, settings: HealthSettings, root: Path = Path("/"), command: Run = run) -> None:
        self.settings = settings
        self._root, self._command = root, command
        self._policy = RatePolicy(settings)
        self._over_current: dict[str, int] | None = None
        self.health, self.rate_factor = Health(), 1.0
        self._ended = threading.Event()
        self._thread: GuardedThread | None = None

    def look(self, now_s: float) -> Health:
        """Reads the sensors once and decides."""
        throttle = throttle_facts(self._root, self._only_vcgencmd)
        words = alarms(throttle, self._over_current)
        self.health = Health(hottest(thermal_facts(self._root)), words, throttle.tells)
        self._over_current = throttle.over_current_counts
        self.rate_factor = self._policy.decide(self.health, now_s) if self.settings.enabled else 1.0
        return self.health

    def reload(self, settings: HealthSettings) -> None:
        """Takes other settings; the rate begins at full again."""
        self.settings, self._policy = settings, RatePolicy(settings)

    def start(self, on_change: Callable[[str], None]) -> None:
        """Begins to look; ``on_change`` is told a line where the rate changes."""
        self._thread = GuardedThread("health", lambda: self._watch(on_change))
        self._thread.start()

    def close(self) -> None:
        """Stops looking."""
        self._ended.set()
        if self._thread is not None:
            self._thread.close()

    def _watch(self, on_change: Callable[[str], None]) -> None:
        while not self._ended.is_set():
            before = self.rate_factor
            self.look(time.monotonic())
            if self.rate_factor != before:
                on_change(describe(self.health, self.rate_factor))
            self._ended.wait(self.settings.interval_s)

    def _only_vcgencmd(self, *line: str) -> str:
        if line[0] != "vcgencmd":  # the power mode does not change by itself; nvpmodel starts slowly
            raise FileNotFoundError(line[0])
        return self._command(*line)


def hottest(thermal: ThermalFacts) -> float | None:
    """The hottest zone in °C; None where no zone answers."""
    return max(thermal.zones_c.values(), default=None)


def alarms(throttle: ThrottleFacts, over_current_before: dict[str, int] | None) -> str | None:
    """What the board itself complains of at this moment (not since it was started), in words; None for nothing."""
    flags = throttle.flags or 0
    words = [text for bit, text in FLAG_WORDS.items() if flags >> bit & 1]
    if throttle.under_voltage_alarm and "under-voltage" not in words:
        words.insert(0, "under-voltage")
    if over_current_before is not None and any(
        count > over_current_before.get(name, 0) for name, count in throttle.over_current_counts.items()
    ):
        words.append("over-current")
    return ", ".join(words) or None


def describe(health: Health, factor: float) -> str:
    """The line to log where the rate changed."""
    why = health.throttled or ("cool again" if factor == 1 else "hot")
    heat = "" if health.temperature_c is None else f", {health.temperature_c:.0f} °C"
    return f"rate x {factor:g} ({why}{heat})"
