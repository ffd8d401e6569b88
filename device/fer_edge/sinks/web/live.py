"""The live part of the page: the newest reading, pictures of it (encoded only for those who watch), the last minute."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from fer_edge.pictures.annotate import annotate, blur_faces, encode_jpeg, number_of
from fer_edge.pictures.recent import RecentFaces
from fer_edge.sinks.summary import summarize_faces
from fer_edge.sinks.web.settings import WebSettings
from fer_edge.types import FaceBox, FaceReading, FrameReading, RgbImage, Status

HISTORY_S = 60
NUMBERS = 16  # of faces that a second of the last minute names; the newest


@dataclass(frozen=True)
class Latest:
    """The newest reading, its number (it grows with every reading), and when it was published (monotonic, s)."""

    number: int
    reading: FrameReading | None
    published_s: float


class Live:
    """What the camera's thread puts and the web server's threads take.

    Args:
        settings: how pictures are made.
    """

    closed: bool
    encoded: int
    history: History

    def __init__(self, settings: WebSettings) -> None:
        self._settings, self.closed, self.encoded = settings, False, 0
        self._news = threading.Condition()
        self._latest = Latest(0, None, 0.0)
        self._status: Status | None = None
        self._recent = RecentFaces()
        self.history = History()
        self._encoding = threading.Lock()
        self._picture: tuple[int, bytes] = (0, b"")

    @property
    def latest(self) -> Latest:
        """The newest reading."""
        return self._latest

    @property
    def last_status(self) -> Status | None:
        """The newest status; None before the first."""
        return self._status

    def publish(self, reading: FrameReading) -> None:
        """Puts a reading; those who wait wake up."""
        now = time.monotonic()
        self.history.add(reading, now)
        with self._news:
            self._latest = Latest(self._latest.number + 1, reading, now)
            if self._settings.blur:
                self._recent.add(now, reading.all_faces)
            self._news.notify_all()

    def status(self, status: Status) -> None:
        """Puts a status. A camera that was stopped leaves no picture behind."""
        with self._news:
            self._status = status
            if status.state == "stopped":
                self._latest = Latest(self._latest.number, None, time.monotonic())
                self._picture = (0, b"")
                self._recent.clear()
            self._news.notify_all()

    def close(self) -> None:
        """Wakes everybody who waits, for the last time."""
        with self._news:
            self.closed = True
            self._news.notify_all()

    def wait(self, after: int, timeout_s: float) -> Latest:
        """The newest reading, once it is newer than number ``after`` or the time is over."""
        with self._news:
            self._news.wait_for(lambda: self.closed or self._latest.number > after, timeout_s)
            return self._latest

    def picture(self, latest: Latest) -> bytes:
        """A JPEG of a reading, with boxes; made once for all who watch."""
        if latest.reading is None:
            return b""
        with self._encoding:
            if self._picture[0] != latest.number:
                frame = latest.reading.frame
                image = frame.image
                if self._settings.blur:
                    with self._news:
                        image = blur_faces(image, self._recent.faces())
                image, faces = scaled_down(image, latest.reading.faces, self._settings.max_width_px)
                self._picture = latest.number, draw(image, faces, self._settings)
                self.encoded += 1
            return self._picture[1]


def draw(image: RgbImage, faces: tuple[FaceReading, ...], settings: WebSettings) -> bytes:
    """A JPEG of (h, w, 3) RGB with boxes and labels, faces blurred where the settings say so."""
    return encode_jpeg(annotate(image, faces, settings.blur), settings.jpeg_quality)


def scaled_down(
    image: RgbImage, faces: tuple[FaceReading, ...], max_width_px: int
) -> tuple[RgbImage, tuple[FaceReading, ...]]:
    """The picture (h, w, 3) and its faces, reduced to at most ``max_width_px`` wide."""
    height, width = image.shape[:2]
    by = max_width_px / width
    if by >= 1:
        return image, faces
    small = cv2.resize(image, (max_width_px, max(1, round(height * by))), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8), tuple(_scaled(face, by) for face in faces)


def _scaled(reading: FaceReading, by: float) -> FaceReading:
    x, y, w, h = (value * by for value in reading.face.box)
    points = {name: (px * by, py * by) for name, (px, py) in reading.face.landmarks.items()}
    return dataclasses.replace(reading, face=FaceBox((x, y, w, h), points, reading.face.score))


class History:
    """One row a second of the last minute: mean number of faces, mean probabilities, who was there. Memory only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: deque[dict[str, Any]] = deque(maxlen=HISTORY_S)
        self._second, self._frames, self._faces, self._with = -1, 0, 0, 0
        self._sums: dict[str, float] = {}
        self._numbers: set[int] = set()

    def add(self, reading: FrameReading, now_s: float) -> None:
        """Counts a frame into its second."""
        summary = summarize_faces(reading.faces)
        with self._lock:
            self._turn(int(now_s))
            self._frames += 1
            self._faces += summary.faces
            self._with += summary.faces > 0
            for name, p in summary.probabilities.items():
                self._sums[name] = self._sums.get(name, 0.0) + p
            self._numbers.update(number_of(face, place) for place, face in enumerate(reading.faces))

    def rows(self, now_s: float) -> list[dict[str, Any]]:
        """Rows {second, frames, faces, probabilities, numbers} of the last minute, oldest first; full seconds only."""
        with self._lock:
            self._turn(int(now_s))
            return [row for row in self._rows if row["second"] >= int(now_s) - HISTORY_S]

    def _turn(self, second: int) -> None:
        if second == self._second:
            return
        if self._frames:
            probabilities = {name: round(p / self._with, 3) for name, p in self._sums.items()} if self._with else {}
            faces = round(self._faces / self._frames, 2)
            row = {"second": self._second, "frames": self._frames, "faces": faces, "probabilities": probabilities}
            self._rows.append(row | {"numbers": sorted(self._numbers)[-NUMBERS:]})
            self._numbers.clear()
        self._second, self._frames, self._faces, self._with, self._sums = second, 0, 0, 0, {}
