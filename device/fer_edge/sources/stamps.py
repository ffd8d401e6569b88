"""A clip's times: from the container's own stamps, made whole where one is missing or the clock starts anew."""

from __future__ import annotations

import math

BACK_S = 0.2  # a stamp so far back is a new clock (recordings joined end to end), not a rounding


class Stamps:
    """Turns what OpenCV says of each frame into the place in the clip: s from its first frame, never going back.

    OpenCV gives 0 where it has none: 4.6 for the frames that a decoder still holds at the end (2 to 20, the more cores
    the more), and before 4.10 for packets that are not decoded. Such a frame comes as
    long after the last as that one came after the one before.

    Args:
        frame_s: how long a frame is shown where no stamp says.
    """

    def __init__(self, frame_s: float) -> None:
        self.frame_s = frame_s
        self._last_s: float | None = None
        self._spacing_s, self._shift_s = frame_s, 0.0

    @property
    def end_s(self) -> float:
        """When the last frame ends."""
        return 0.0 if self._last_s is None else self._last_s + self.frame_s

    def place(self, stamp_ms: float) -> float:
        """The next frame's place, from its ``CAP_PROP_POS_MSEC``."""
        stamp_s = stamp_ms / 1000
        known = math.isfinite(stamp_s) and abs(stamp_s) < 1e7  # raw streams have none at all: huge numbers
        if self._last_s is None:
            self._last_s = max(0.0, stamp_s) if known else 0.0
        elif not known or stamp_s == 0:
            self._last_s += self._spacing_s
        else:
            if stamp_s + self._shift_s < self._last_s - BACK_S:
                self._shift_s = self.end_s - stamp_s
            before_s, self._last_s = self._last_s, max(self._last_s, stamp_s + self._shift_s)
            self._spacing_s = self._last_s - before_s or self.frame_s
        return self._last_s
