"""Pictures out of a file or a stream, by OpenCV's FFmpeg. MJPEG is decoded frame by frame here, for good reason.

OpenCV (4.11) keeps the first picture's size: after a change it silently gives old or half-filled pictures, and it
ends at the first damaged packet. A JPEG by itself has its own size, and one damaged costs no other; of other codecs
``read`` is simply asked again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: our own line says what is wrong with a file

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.pictures.decode import apply_orientation
from fer_edge.sources.opencv import opencv_log_level
from fer_edge.sources.stamps import Stamps
from fer_edge.sources.upright import UPRIGHT

BgrImage = NDArray[np.uint8]  # (height, width, 3), as OpenCV decodes
MJPG = cv2.VideoWriter.fourcc(*"MJPG")
UNKNOWN_FPS = 25.0
RAW_IS_UNTIMED = tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 10)
FEW_FAILURES, MOST_FAILURES = 64, 100_000  # in a row, before the end is believed
LONGEST_S = 8.0  # of failures in a row


@dataclass(frozen=True)
class Decoded:
    """An upright picture, and its place in the clip in s from the first frame (see ``Stamps``)."""

    image: BgrImage
    t_s: float


class Decoder:
    """Reads one picture after another; ``corrupt`` counts those that could not be decoded.

    At the end of a file OpenCV says the same as at a damaged packet, so it is asked again, as often as frames are still
    announced: at the end that takes microseconds each (5 at most, measured).

    Args:
        place: a file's path or a stream's URL.
        parameters: of OpenCV's open, e.g. timeouts.
        orientation: EXIF code of how the pictures are stored.
        is_file: it can be read twice at once.
        patience_s: longest time without a picture; a read that takes so long has ended.
    """

    def __init__(
        self,
        place: str,
        parameters: Sequence[int] = (),
        orientation: int = UPRIGHT,
        is_file: bool = False,
        patience_s: float = LONGEST_S,
    ) -> None:
        self.corrupt = self.read_frames = 0
        self._orientation, self._patience_s = orientation, patience_s
        self._clock: cv2.VideoCapture | None = None  # reads along for the stamps alone
        opencv_log_level("ERROR")  # our own line says what is wrong; OpenCV's warnings beside it confuse
        # FFmpeg alone: other back ends take a text file or a photo's name for a picture sequence
        self._capture = cv2.VideoCapture(place, cv2.CAP_FFMPEG, [*parameters])
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if 0 < fps <= 1000 else 0.0
        self.announced = max(0, int(min(self._capture.get(cv2.CAP_PROP_FRAME_COUNT), 1e9)))
        self.stamps = Stamps(1 / (self.fps or UNKNOWN_FPS))
        self._is_mjpeg = self._capture.isOpened() and int(self._capture.get(cv2.CAP_PROP_FOURCC)) == MJPG
        if self._is_mjpeg:  # again, for the packets as they are
            self._capture.release()
            self._capture = cv2.VideoCapture(place, cv2.CAP_FFMPEG, [*parameters, cv2.CAP_PROP_FORMAT, -1])
            if is_file and RAW_IS_UNTIMED:
                self._clock = cv2.VideoCapture(place, cv2.CAP_FFMPEG, [*parameters])
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # versions disagree on it: turned here

    @property
    def codec(self) -> str:
        """Four characters; empty where unknown."""
        code = int(max(0, self._capture.get(cv2.CAP_PROP_FOURCC)))
        return "".join(c for c in code.to_bytes(8, "little")[:4].decode("ascii", "replace") if c.isalnum())

    @property
    def is_open(self) -> bool:
        """False where there is nothing that FFmpeg can read."""
        return bool(self._capture.isOpened())

    def read(self) -> Decoded | None:
        """The next picture; None at the end, or where the stream broke off."""
        until = time.monotonic() + self._patience_s
        failures = 0
        to_come = self.announced - self.read_frames - self.corrupt
        while failures <= min(max(FEW_FAILURES, to_come), MOST_FAILURES):
            picture = self._picture()
            if picture is not None:
                self.corrupt += failures
                self.read_frames += 1
                timed = self._capture if self._clock is None else self._clock
                t_s = self.stamps.place(float(timed.get(cv2.CAP_PROP_POS_MSEC)))
                return Decoded(apply_orientation(picture, self._orientation), t_s)
            failures += 1
            if time.monotonic() > until:
                break
        return None

    def _picture(self) -> BgrImage | None:
        if self._clock is not None:
            self._clock.grab()  # a JPEG is a frame: both stay in step
        ok, data = self._capture.read()
        if not ok or data is None:
            return None
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if self._is_mjpeg else data
        return np.asarray(picture, dtype=np.uint8) if picture is not None and picture.ndim == 3 else None

    def close(self) -> None:
        """Frees the file or the connection; safe to call twice."""
        self._capture.release()
        if self._clock is not None:
            self._clock.release()
