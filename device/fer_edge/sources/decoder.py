"""Pictures out of a file or a stream, by OpenCV's FFmpeg: upright, each with its time, past what is damaged.

Motion JPEG is decoded one by one (``jpegs``); clips of other codecs may change their size on the way (``parts``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.bounds import FAILURES_S as LONGEST_S
from fer_edge.contract.bounds import FEW_FAILURES, MOST_FAILURES
from fer_edge.pictures.orientation import apply_orientation
from fer_edge.sources.jpegs import NAMES, JpegPictures
from fer_edge.sources.opencv import ONE_THREAD
from fer_edge.sources.parts import ClipPictures, StreamPictures
from fer_edge.sources.stamps import Stamps
from fer_edge.sources.upright import UPRIGHT

BgrImage = NDArray[np.uint8]  # (height, width, 3), as OpenCV decodes
UNKNOWN_FPS = 25.0
SMALL_PX = 1 << 19  # up to 800 x 600: one thread takes less than a ms here, and 4 MB less than two


@dataclass(frozen=True)
class Decoded:
    """An upright picture, and its place in the clip in s from the first frame (see ``Stamps``).

    ``damaged``: parts may be missing or smeared, because a packet before it was lost and no key frame came since.
    """

    image: BgrImage
    t_s: float
    damaged: bool = False


class Decoder:
    """Reads one picture after another.

    At the end of a file OpenCV says the same as at a damaged packet, so it is asked again, as often as frames are still
    announced: at the end that takes microseconds each (5 at most, measured).

    Args:
        place: a file's path or a stream's URL.
        parameters: of OpenCV's open, e.g. timeouts.
        orientation: EXIF code of how the pictures are stored.
        is_file: it can be read twice at once.
        patience_s: longest time without a picture; a read that takes so long has ended.
    """

    read_frames: int
    fps: float
    announced: int
    stamps: Stamps

    def __init__(
        self,
        place: str,
        parameters: Sequence[int] = (),
        orientation: int = UPRIGHT,
        is_file: bool = False,
        patience_s: float = LONGEST_S,
    ) -> None:
        self._corrupt = self.read_frames = 0
        self._smeared = False
        self._orientation, self._patience_s = orientation, patience_s
        # FFmpeg alone: other back ends take a text file or a photo's name for a picture sequence
        capture = cv2.VideoCapture(place, cv2.CAP_FFMPEG, [*parameters, *(ONE_THREAD if is_file else ())])
        if is_file and ONE_THREAD and _area(capture) > SMALL_PX:
            capture = cv2.VideoCapture(place, cv2.CAP_FFMPEG, [*parameters])
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # versions disagree on it: turned here
        fps = float(capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if 0 < fps <= 1000 else 0.0
        self.announced = max(0, int(min(capture.get(cv2.CAP_PROP_FRAME_COUNT), 1e9)))
        self.stamps = Stamps(1 / (self.fps or UNKNOWN_FPS))
        self._pictures: JpegPictures | ClipPictures | StreamPictures
        if capture.isOpened() and _codec(capture).lower() in NAMES:
            capture.release()
            self._pictures = JpegPictures(place, parameters, is_file)
        elif capture.isOpened() and is_file:
            self._pictures = ClipPictures(capture, place)
        else:
            self._pictures = StreamPictures(capture)

    @property
    def corrupt(self) -> int:
        """Frames that could not be decoded."""
        return self._corrupt + self._pictures.lost

    @property
    def codec(self) -> str:
        """Four characters; empty where unknown."""
        return _codec(self._pictures.capture)

    @property
    def is_open(self) -> bool:
        """False where there is nothing that FFmpeg can read."""
        return bool(self._pictures.capture.isOpened())

    def read(self) -> Decoded | None:
        """The next picture; None at the end, or where the stream broke off."""
        until = time.monotonic() + self._patience_s
        failures = 0
        to_come = self.announced - self.read_frames - self.corrupt
        while failures <= min(max(FEW_FAILURES, to_come), MOST_FAILURES):
            picture = self._pictures.read()
            if picture is not None:
                self._corrupt += failures
                self.read_frames += 1
                t_s = self.stamps.place(self._pictures.stamp_ms)
                self._smeared = (self._smeared or failures > 0) and not self._pictures.is_whole
                damaged = self._smeared or self._pictures.damaged
                return Decoded(apply_orientation(picture, self._orientation), t_s, damaged)
            failures += 1
            if time.monotonic() > until:
                break
        return None

    def close(self) -> None:
        """Frees the file or the connection; safe to call twice."""
        self._pictures.close()


def _area(capture: cv2.VideoCapture) -> float:
    return float(capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT))


def _codec(capture: cv2.VideoCapture) -> str:
    code = int(max(0, capture.get(cv2.CAP_PROP_FOURCC)))
    return "".join(c for c in code.to_bytes(8, "little")[:4].decode("ascii", "replace") if c.isalnum())
