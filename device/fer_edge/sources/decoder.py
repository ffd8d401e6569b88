"""Pictures out of a file or a stream, by OpenCV's FFmpeg. MJPEG is decoded frame by frame here, for good reason.

OpenCV (4.11) keeps the first picture's size: after a change it silently gives old or half-filled pictures, and it
ends at the first damaged JPEG. A JPEG by itself has its own size, and one damaged costs no other.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: our own line says what is wrong with a file

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.sources.opencv import opencv_log_level

BgrImage = NDArray[np.uint8]  # (height, width, 3), as OpenCV decodes
MJPG = cv2.VideoWriter.fourcc(*"MJPG")
MOST_BROKEN = 100  # JPEGs in a row that cannot be decoded before it is no video


class Decoder:
    """Reads one picture after another; ``corrupt`` counts those that could not be decoded.

    Args:
        place: a file's path or a stream's URL.
        parameters: of OpenCV's open, e.g. timeouts.
    """

    def __init__(self, place: str, parameters: Sequence[int] = ()) -> None:
        self.corrupt = 0
        opencv_log_level("ERROR")  # our own line says what is wrong; OpenCV's warnings beside it confuse
        # FFmpeg alone: other back ends take a text file or a photo's name for a picture sequence
        self._capture = cv2.VideoCapture(place, cv2.CAP_FFMPEG, [*parameters])
        self.fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self._is_mjpeg = self._capture.isOpened() and int(self._capture.get(cv2.CAP_PROP_FOURCC)) == MJPG
        if self._is_mjpeg:  # again, for the packets as they are
            self._capture.release()
            self._capture = cv2.VideoCapture(place, cv2.CAP_FFMPEG, [*parameters, cv2.CAP_PROP_FORMAT, -1])

    @property
    def is_open(self) -> bool:
        """False where there is nothing that FFmpeg can read."""
        return bool(self._capture.isOpened())

    def read(self) -> BgrImage | None:
        """The next picture; None at the end, or where the stream broke off."""
        for _ in range(MOST_BROKEN):
            ok, data = self._capture.read()
            if not ok or data is None:
                return None
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if self._is_mjpeg else data
            if picture is not None and picture.ndim == 3:
                return np.asarray(picture, dtype=np.uint8)
            self.corrupt += 1
        return None

    def close(self) -> None:
        """Frees the file or the connection; safe to call twice."""
        self._capture.release()
