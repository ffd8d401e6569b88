"""Where faces were in the last second: there a picture stays blurred, since a detector misses a face now and then."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from fer_edge.types import FaceBox

STAYS_S = 1.0


class RecentFaces:
    """The faces of the newest frame, and of those at most ``STAYS_S`` before it.

    Not locked: for one thread, or under the caller's lock.
    """

    def __init__(self) -> None:
        self._frames: deque[tuple[float, tuple[FaceBox, ...]]] = deque()

    def add(self, t_s: float, faces: Sequence[FaceBox]) -> None:
        """Takes a frame's faces; times of one clock, which may begin again."""
        if self._frames and t_s < self._frames[-1][0]:
            self._frames.clear()
        self._frames.append((t_s, tuple(faces)))
        while t_s - self._frames[0][0] > STAYS_S:
            self._frames.popleft()

    def faces(self) -> list[FaceBox]:
        """All of them; the same face once per frame."""
        return [face for _, faces in self._frames for face in faces]

    def clear(self) -> None:
        """Forgets them."""
        self._frames.clear()
