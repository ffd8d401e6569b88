"""Whether the camera should be read: turned on and off from any thread (the web page), obeyed by the loop."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable


class Switch:
    """On at first. It exists before the daemon, so that what turns it can be built first."""

    def __init__(self) -> None:
        self._is_off = False
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._cut: Callable[[], None] = lambda: None

    @property
    def is_off(self) -> bool:
        """Whether the camera is to be let go."""
        return self._is_off

    def turn_on(self) -> None:
        """Takes up a camera that was let go; returns at once."""
        self._is_off = False
        self.ring()

    def turn_off(self) -> None:
        """Frees the camera; returns at once."""
        self._is_off = True
        self._cut()

    def when_turned_off(self, cut: Callable[[], None]) -> None:
        """What ends the loop's wait for a frame."""
        self._cut = cut

    def ring(self) -> None:
        """Ends a ``wait`` at once; safe in a signal handler."""
        self._bell.put(None)

    def wait(self, timeout_s: float) -> None:
        """Waits until something was turned, or that time has passed."""
        with contextlib.suppress(queue.Empty):
            self._bell.get(timeout=timeout_s)
