"""What a run did, and the numbers that are told while it goes on."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from fer_edge.contract.process import DONE, INCOMPLETE, INTERRUPTED
from fer_edge.types import FrameReading, FrameSource

FPS_WINDOW_S = 5.0


@dataclass
class RunSummary:
    """What a run did."""

    frames: int = 0
    faces: int = 0
    frames_with_face: int = 0
    dropped: int = 0
    corrupt: int = 0
    left_out: int = 0
    incomplete: str = ""
    seconds: float = 0.0
    stage_ms: dict[str, float] = field(default_factory=dict)
    ended_by: str = "end of source"

    def __str__(self) -> str:
        fps = self.frames / self.seconds if self.seconds else 0.0
        stages = ", ".join(f"{name} {ms / max(1, self.frames):.1f}" for name, ms in self.stage_ms.items())
        return (
            f"{self.ended_by}: {self.frames} frames in {self.seconds:.1f} s ({fps:.1f} per second), "
            f"{self.dropped} dropped, {self.undecoded}{self.faces} faces, a face in {self.frames_with_face}"
            f"{self.refused}; mean ms a frame: {stages or 'none'}{self.missing}"
        )

    @property
    def exit_status(self) -> int:
        """Of the command: 130 where Ctrl-C ended it, which leaves a clip half read; 3 where the clip itself is."""
        if self.ended_by == "SIGINT":
            return INTERRUPTED
        return INCOMPLETE if self.incomplete else DONE

    @property
    def undecoded(self) -> str:
        """The frames that came damaged, where there are any."""
        return f"{self.corrupt} could not be decoded, " if self.corrupt else ""

    @property
    def refused(self) -> str:
        """The finds that were no faces, where there are any."""
        return f", {self.left_out} finds left out that are none" if self.left_out else ""

    @property
    def missing(self) -> str:
        """What the source announced and did not hold."""
        return f"; incomplete: {self.incomplete}" if self.incomplete else ""

    def add(self, reading: FrameReading) -> None:
        """Counts one frame."""
        self.frames += 1
        self.faces += len(reading.faces)
        self.left_out += reading.left_out
        self.frames_with_face += bool(reading.faces)
        for name, ms in reading.stage_ms.items():
            self.stage_ms[name] = self.stage_ms.get(name, 0.0) + ms


@dataclass(frozen=True)
class Counts:
    """What sources counted, see ``FrameSource``."""

    dropped: int = 0
    corrupt: int = 0
    reconnects: int = 0

    def plus(self, source: FrameSource | None) -> Counts:
        """With those of one more source; the same without one."""
        if source is None:
            return self
        return Counts(self.dropped + source.dropped, self.corrupt + source.corrupt, self.reconnects + source.reconnects)


class FrameRate:
    """Frames per second over the last few seconds; times in s of one monotonic clock."""

    def __init__(self) -> None:
        self._done_at_s: deque[float] = deque(maxlen=1000)

    def add(self, now_s: float) -> None:
        """A frame was read to the end."""
        self._done_at_s.append(now_s)

    def fps(self, now_s: float) -> float:
        """0 before the second frame of the window."""
        recent = [at_s for at_s in self._done_at_s if now_s - at_s <= FPS_WINDOW_S]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else 0.0
