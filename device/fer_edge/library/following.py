"""Faces followed through frames, one ``step`` a frame: what ``follow`` and ``afollow`` share."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Generator, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fer_edge.errors import ImageError
from fer_edge.library.arrays import Order, as_rgb
from fer_edge.library.changes import OnChange, by_track, changes
from fer_edge.library.reading import Face, Reading
from fer_edge.pipeline import Pipeline
from fer_edge.types import Frame

FrameLike: TypeAlias = "Frame | NDArray[Any]"


class Following:
    """The state of one video: not for two at once, and one thread at a time.

    Args:
        pipeline: its own for this time.
        order: of the channels of frames that are arrays.
        on_change: told of each change, in the thread that calls ``step``.
    """

    def __init__(self, pipeline: Pipeline, order: Order, on_change: OnChange | None) -> None:
        self._pipeline, self._order, self._on_change = pipeline, order, on_change
        self._index = 0
        self._faces: dict[int, Face] = {}
        self._last: Reading | None = None

    def step(self, frame: FrameLike) -> Reading:
        """Reads the next frame.

        Raises:
            ImageError: neither a frame nor a picture.
        """
        arrived_s = time.monotonic()
        if isinstance(frame, Frame):
            if self._order != "rgb":
                raise ImageError('frame: a Frame holds RGB; expected order="rgb", or arrays with order="bgr"')
            taken = dataclasses.replace(frame, image=as_rgb(frame.image, "rgb", "frame"))
        else:
            image = as_rgb(frame, self._order, f"frame {self._index}")
            taken = Frame(image, self._index, arrived_s, "program", can_be_late=True)
        self._index += 1
        reading = Reading(self._pipeline.read_frame(taken).published(), keep_image=True)
        self._tell(reading, by_track(reading))
        self._last = reading
        return reading

    def end(self) -> None:
        """After the last frame: every face that was there has gone."""
        if self._last is not None:
            self._tell(self._last, {})

    def _tell(self, reading: Reading, now: dict[int, Face]) -> None:
        before, self._faces = self._faces, now
        if self._on_change is not None:
            for what, face in changes(before, now):
                self._on_change(what, face, reading)


def readings(following: Following, frames: Iterable[FrameLike]) -> Iterator[Reading]:
    """Each frame's reading, as it is asked for; the frames are closed where they are a generator of our own making."""
    iterator = iter(checked(frames))
    try:
        for frame in iterator:
            yield following.step(frame)
        following.end()
    finally:
        if isinstance(iterator, Generator) and iterator is not frames:
            iterator.close()


def checked(frames: Iterable[FrameLike]) -> Iterable[FrameLike]:
    """The frames themselves.

    Raises:
        ImageError: they are something else that people hold for frames.
    """
    if isinstance(frames, str | os.PathLike):
        raise ImageError(f"frames: found {os.fspath(frames)!r}; expected fer_edge.open_source({os.fspath(frames)!r})")
    if isinstance(frames, np.ndarray | Frame):
        raise ImageError("frames: found one picture, expected one after the other, e.g. of a generator; or use read()")
    if not isinstance(frames, Iterable):
        how = (
            "a generator that yields what its read() gives, or open_source"
            if hasattr(frames, "read")
            else "a generator"
        )
        raise ImageError(f"frames: found {type(frames).__name__}, expected pictures one after the other: {how}")
    return frames
