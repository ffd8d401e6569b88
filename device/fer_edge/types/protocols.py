"""What stands between the rooms: sources, detectors, runners and sinks, with defaults for what most have none of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fer_edge.types.frames import FaceBox, Frame, FrameReading, RgbImage
from fer_edge.types.status import Status


class FrameSource(Protocol):
    """Yields frames until its end; ``close`` may be called from another thread or a signal handler and ends it.

    ``name`` is its URI without a password. A class that names this one as its base has the counts at 0, and overrides
    those that it keeps.
    """

    name: str

    @property
    def description(self) -> str:
        """What was negotiated with a camera, for people; "" where there was nothing to negotiate."""
        return ""

    @property
    def dropped(self) -> int:
        """Frames that were there and not yielded: late, or skipped."""
        return 0

    @property
    def corrupt(self) -> int:
        """Frames that came and could not be used."""
        return 0

    @property
    def reconnects(self) -> int:
        """Times that it was lost and came back."""
        return 0

    @property
    def incomplete(self) -> str:
        """Why a recording ended before its end, as a line for people; "" where it did not."""
        return ""

    @property
    def length(self) -> int | None:
        """Number of a recording's last frame plus 1, as it announces; None where nobody knows, or it has no end."""
        return None

    @property
    def nominal_fps(self) -> float:
        """Frames per second of what is seen, about; 0 where nobody knows."""
        return 0.0

    @property
    def opening(self) -> bool:
        """True while something is being opened in the thread that iterates, which can take half a minute."""
        return False

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Ends the iteration and frees the device; safe to call twice."""
        ...


class FaceDetector(Protocol):
    """Finds faces in an RGB picture, best score first."""

    @property
    def left_out(self) -> int:
        """Finds of a high enough score that were not taken for faces after all, since the start."""
        return 0

    @property
    def refused(self) -> tuple[FaceBox, ...]:
        """Those of the newest picture, in px of it: no face to be read, but nothing to be shown where faces are not."""
        return ()

    def detect(self, image: RgbImage, near: Sequence[FaceBox] = ()) -> list[FaceBox]:
        """Faces in (height, width, 3) uint8 RGB, in px of that picture.

        Args:
            image: what is searched.
            near: where faces are expected, all that are known; a detector may look there only, if all of them are
                there. None searches everywhere.
        """
        ...


class Runner(Protocol):
    """Runs the classifier: (N, H, W, channels) float32 normalized inputs -> (N, labels) float32 logits."""

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (N, labels) for inputs (N, H, W, channels)."""
        ...


class Sink(Protocol):
    """Where readings go. A sink that is slow or dead never delays a frame: it drops and counts."""

    @property
    def name(self) -> str:
        """Short, for messages and counters: ``mqtt``, ``web``."""
        ...

    @property
    def dropped(self) -> int:
        """Readings that were given to it and never arrived."""
        ...

    def publish(self, reading: FrameReading) -> None:
        """Takes one frame's reading; returns within the time of a queue put."""
        ...

    def status(self, status: Status) -> None:
        """Takes how the run is doing, at most once a second and at each change of state; of no use to most."""

    def close(self) -> None:
        """Delivers or drops what is waiting and frees everything; safe to call twice."""
        ...
