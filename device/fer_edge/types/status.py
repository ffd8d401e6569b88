"""How a run is doing: what sinks are told once a second."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

State = Literal["running", "waiting", "stopped"]


@dataclass(frozen=True)
class Status:
    """One moment of a run; sinks get one at most once a second, see ``Sink.status``.

    Args:
        state: "running" while frames come, "waiting" while a lost source is tried again, "stopped" when told to.
        source: the source's name, e.g. ``v4l2:///dev/video0``.
        fps: frames read to the end per second, over the last seconds.
        frame_age_s: from capture to published, of the newest frame; None before the first.
        frames: read since the start.
        dropped: by place ("source", "mqtt", "web" …), since the start.
        temperature_c: of the hottest zone that tells; None where the board has none.
        throttled: why the board slows itself or does without power, as words; None where it does not or cannot tell.
        rate_factor: 1 at full rate; 0.5 or 0.25 while the daemon lowers its own rate because of heat or load.
        since_s: monotonic clock, when the daemon entered ``state``.
        reason: why it waits or stopped, for people; "" while it runs.
        corrupt: frames that came but could not be used, since the start.
        reconnects: times that a lost source came back.
        tells_throttling: the board has a sensor that would say so; False where ``throttled`` cannot but be None.
    """

    state: State
    source: str
    fps: float = 0.0
    frame_age_s: float | None = None
    frames: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    temperature_c: float | None = None
    throttled: str | None = None
    rate_factor: float = 1.0
    since_s: float = 0.0
    reason: str = ""
    corrupt: int = 0
    reconnects: int = 0
    tells_throttling: bool = False

    @property
    def line(self) -> str:
        """One line for people, e.g. systemd's ``STATUS=``."""
        if self.state != "running":
            return f"{self.state}: {self.reason or self.source}"
        heat = "" if self.temperature_c is None else f", {self.temperature_c:.0f} °C"
        slow = "" if self.rate_factor == 1 else f", rate x {self.rate_factor:g}"
        slow += f" ({self.throttled})" if self.throttled else ""
        return f"{self.source}: {self.fps:.1f} frames per second, {self.frames} read{heat}{slow}"
