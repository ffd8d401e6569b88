"""Motion JPEG, decoded frame by frame: a JPEG by itself has its own size, and one damaged costs no other."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.pictures.jpeg import complaint
from fer_edge.pictures.quiet import hushed
from fer_edge.sources.opencv import ONE_THREAD

NAMES = ("mjpg", "mjpe", "jpeg")  # by version and container
RAW_IS_UNTIMED = tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 10)


class JpegPictures:
    """The pictures of a clip or a stream of JPEGs.

    Args:
        place: a file's path or a stream's URL.
        parameters: of OpenCV's open.
        is_file: it can be read twice at once: before 4.10 only a decoded frame has a time stamp.
    """

    lost = 0
    is_whole = True  # each stands by itself
    damaged: bool = False  # the last one, as far as libjpeg complains

    def __init__(self, place: str, parameters: Sequence[int], is_file: bool) -> None:
        raw = (*parameters, cv2.CAP_PROP_FORMAT, -1, *ONE_THREAD)
        self.capture = cv2.VideoCapture(place, cv2.CAP_FFMPEG, raw)
        self.capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # 4.6 turns the packet's bytes
        timed = is_file and RAW_IS_UNTIMED
        self._clock = cv2.VideoCapture(place, cv2.CAP_FFMPEG, [*parameters]) if timed else self.capture

    @property
    def stamp_ms(self) -> float:
        """The last picture's, as OpenCV gives it."""
        return float(self._clock.get(cv2.CAP_PROP_POS_MSEC))

    def read(self) -> NDArray[np.uint8] | None:
        """The next picture (height, width, 3), B, G, R; None at the end or for a damaged one."""
        if self._clock is not self.capture:
            self._clock.grab()  # a packet is a frame: both stay in step
        ok, data = self.capture.read()
        if not ok or data is None:
            return None
        with hushed() as said:
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        self.damaged = bool(said.text and complaint(said.text, data.tobytes()))
        return None if picture is None else np.asarray(picture, dtype=np.uint8)

    def close(self) -> None:
        """Frees the file or the connection; safe to call twice."""
        self.capture.release()
        self._clock.release()
