"""A source whose pictures are turned before anything else sees them, where it cannot turn them itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator

from fer_edge.pictures.orientation import apply_orientation
from fer_edge.types import Frame, FrameSource


class TurnedSource(FrameSource):
    """Another source, turned.

    Args:
        source: open already.
        orientation: EXIF code of how its pictures lie.
    """

    name: str

    def __init__(self, source: FrameSource, orientation: int) -> None:
        self.name, self._source, self._orientation = source.name, source, orientation

    @property
    def description(self) -> str:
        """The source's."""
        return self._source.description

    @property
    def dropped(self) -> int:
        """The source's."""
        return self._source.dropped

    @property
    def corrupt(self) -> int:
        """The source's."""
        return self._source.corrupt

    @property
    def reconnects(self) -> int:
        """The source's."""
        return self._source.reconnects

    @property
    def incomplete(self) -> str:
        """The source's."""
        return self._source.incomplete

    @property
    def length(self) -> int | None:
        """The source's."""
        return self._source.length

    @property
    def nominal_fps(self) -> float:
        """The source's."""
        return self._source.nominal_fps

    @property
    def opening(self) -> bool:
        """The source's."""
        return self._source.opening

    def __iter__(self) -> Iterator[Frame]:
        """The source's frames, upright."""
        frames = iter(self._source)
        try:
            for frame in frames:
                yield self._turned(frame)
        finally:  # what the source does at its end, it does now
            if isinstance(frames, Generator):
                frames.close()

    def close(self) -> None:
        """Closes the source."""
        self._source.close()

    def _turned(self, frame: Frame) -> Frame:
        original_hw = frame.original_hw
        if original_hw is not None and self._orientation >= 5:
            original_hw = original_hw[1], original_hw[0]
        image = apply_orientation(frame.image, self._orientation)
        return dataclasses.replace(frame, image=image, original_hw=original_hw)
