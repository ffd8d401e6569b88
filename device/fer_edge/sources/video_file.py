"""Clips: every frame in order, or at the clip's own speed with late frames dropped."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from fer_edge.errors import SourceError
from fer_edge.sources.uri import SourceUri
from fer_edge.types import Frame

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: our own line says what is wrong with a file


class VideoFileSource:
    """A video file.

    Args:
        uri: ``file://path``.
        realtime: pace frames by the clip's rate; frames whose time has passed are dropped and counted in ``dropped``.

    Raises:
        SourceError: no such file, or not a video.
    """

    def __init__(self, uri: SourceUri, realtime: bool = False) -> None:
        path = Path(uri.path)
        if not path.is_file():
            raise SourceError(f"source {path}: no such file; expected a video, or images:// for a folder of photos")
        self.name, self.dropped = uri.text, 0
        self._realtime, self._closed = realtime, False
        # FFmpeg alone: other back ends take a text file or a photo's name for a picture sequence
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        ok, first = self._capture.read() if self._capture.isOpened() else (False, None)
        if not ok or first is None:
            self._capture.release()
            raise SourceError(f"source {path}: no frame can be read from it; expected a video such as .mp4 or .avi")
        self._first = first
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or 25.0

    def __iter__(self) -> Iterator[Frame]:
        """Frames with their number in the clip; ``t_capture_s`` is the moment each was read."""
        started, index, picture = time.monotonic(), 0, self._first
        while not self._closed:
            due = started + index / self.fps
            late = time.monotonic() - due
            if self._realtime and late > 1 / self.fps:
                self.dropped += 1
            else:
                if self._realtime and late < 0:
                    time.sleep(-late)
                yield Frame(np.ascontiguousarray(picture[:, :, ::-1]), index, time.monotonic(), self.name)
            index += 1
            ok, picture = (False, None) if self._closed else self._capture.read()
            if not ok or picture is None:
                break
        self._capture.release()

    def close(self) -> None:
        """Ends the iteration at the next frame."""
        self._closed = True
