"""What the web page may ask of the program behind it: the camera on or off, and a photo read.

``PhotoDesk`` is the photo part by itself; ``fer-edge web`` has nothing else, the daemon uses it beside its camera.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from fer_edge.pipeline import Pipeline
from fer_edge.types import FrameReading


class Controls(Protocol):
    """Called from the web server's threads, any number at a time."""

    @property
    def has_camera(self) -> bool:
        """False where there is no live picture to start or stop: the page then shows its photo part alone."""
        ...

    def start(self) -> None:
        """Starts the camera, or does nothing where it runs; returns at once."""
        ...

    def stop(self) -> None:
        """Stops the camera and frees it, or does nothing where it is off; returns at once."""
        ...

    def read_photo(self, content: bytes) -> FrameReading:
        """Reads the expressions in a photo file's content, which is kept nowhere.

        Raises:
            ImageError: not a picture, or a damaged one.
        """
        ...


class PhotoDesk:
    """Reads photos one at a time with a pipeline of its own, made when the first photo comes.

    A pipeline of its own, because an interpreter must not be used by two threads, and a photo (searched for small
    faces) would hold up the camera.

    Args:
        open_pipeline: makes the pipeline.
    """

    has_camera = False

    def __init__(self, open_pipeline: Callable[[], Pipeline]) -> None:
        self._open, self._lock, self._count = open_pipeline, threading.Lock(), 0
        self._pipeline: Pipeline | None = None

    def start(self) -> None:
        """There is no camera."""

    def stop(self) -> None:
        """There is no camera."""

    def read_photo(self, content: bytes) -> FrameReading:
        """See ``Controls``."""
        from fer_edge.pictures.photo import decode_photo  # not needed by runs without a page

        photo = decode_photo(content, "photo", take_damaged=True)
        with self._lock:
            if self._pipeline is None:
                self._pipeline = self._open()
            self._count += 1
            return self._pipeline.read_frame(photo.frame(self._count, "photo"))
