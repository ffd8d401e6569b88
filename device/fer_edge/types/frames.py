"""What flows through the device pipeline: Frame → FaceBox → FaceReading → FrameReading."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.names import name_bytes, printable
from fer_edge.contract.reading import FaceReadingDoc, ReadingDoc, wall_time

Point = tuple[float, float]
RgbImage = NDArray[np.uint8]  # (height, width, 3), R, G, B, upright


@dataclass(frozen=True)
class Frame:
    """One upright RGB picture and when it was captured.

    Attributes:
        image: (height, width, 3) uint8, RGB, upright. Typed as any array, because OpenCV's stubs type theirs so.
        index: number of the frame in its source, from 0.
        t_capture_s: when it was captured, s of ``time.monotonic()``; now, unless told.
        source: what it came from, for people and for the reading.
        scale: where the picture is a large photo scaled down, its px per px of the original.
        original_hw: (height, width) of that original in px.
        t_media_s: its place in a clip, s, which may be read faster than it was filmed.
        can_be_late: the next frame does not wait for this one to be read, as a camera's does not: only then may
            anything depend on how long reading takes.
        damaged: parts of the picture are missing or made up by the decoder; None: nothing is known of any.
    """

    image: NDArray[Any]
    index: int = 0
    t_capture_s: float = field(default_factory=time.monotonic)
    source: str = "program"
    scale: float = 1.0
    original_hw: tuple[int, int] | None = None
    t_media_s: float | None = None
    can_be_late: bool = False
    damaged: bool | None = None

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f"Frame({self.source}, index {self.index}, {width} x {height} px, {self.t_s:.3f} s)"

    @property
    def t_s(self) -> float:
        """The time that passes in what is seen: of the clip, else of the capture."""
        return self.t_capture_s if self.t_media_s is None else self.t_media_s


@dataclass(frozen=True)
class FaceBox:
    """A face in px of the picture: box (x, y, width, height), canonical landmarks (x, y), detector score 0..1."""

    box: tuple[float, float, float, float]
    landmarks: dict[str, Point]
    score: float

    def scaled(self, by: float) -> FaceBox:
        """The same face in a picture ``by`` times as large."""
        landmarks = {name: (px * by, py * by) for name, (px, py) in self.landmarks.items()}
        x, y, width, height = (value * by for value in self.box)
        return FaceBox((x, y, width, height), landmarks, self.score)


@dataclass(frozen=True)
class FaceReading:
    """A face and the classifier's probabilities in the order of the manifest's labels.

    ``track`` numbers the same face over frames (None for a photo); ``uncertain`` says that no label clearly leads
    (None where nobody decided). ``shift`` is by label how far the face is from its own neutral, in log-odds (None where
    that is not known), see ``tracking/neutral.py``.
    """

    face: FaceBox
    label: str
    probabilities: dict[str, float]
    track: int | None = None
    uncertain: bool | None = None
    zone: str | None = None
    shift: dict[str, float] | None = None


@dataclass(frozen=True)
class FrameReading:
    """All faces of one frame in px of its picture, and how long each stage took in ms.

    ``rate_factor`` is below 1 while the daemon lowers its own rate because of heat or an alarm of the board.
    ``published_s`` (clock of ``Frame.t_capture_s``) and ``captured_unix_s`` (wall clock of the capture) are set by
    ``published``, once, when the reading goes to the sinks. ``left_out`` counts what the detector found and took for no
    face after a second look. ``outside`` are the finds that were not read: outside the zones, too small, or left out.
    """

    frame: Frame
    faces: tuple[FaceReading, ...]
    stage_ms: dict[str, float] = field(default_factory=dict)
    rate_factor: float = 1.0
    published_s: float | None = None
    captured_unix_s: float | None = None
    left_out: int = 0
    outside: tuple[FaceBox, ...] = ()

    @property
    def all_faces(self) -> tuple[FaceBox, ...]:
        """The places of all faces, of those that were not read too: what a blurred picture hides."""
        return (*(reading.face for reading in self.faces), *self.outside)

    @property
    def age_s(self) -> float | None:
        """From capture to published; None before it is."""
        return None if self.published_s is None else max(0.0, self.published_s - self.frame.t_capture_s)

    def published(self) -> FrameReading:
        """The reading as it goes out now: with its moment, and when its capture was by the wall clock."""
        now_s = time.monotonic()
        return replace(self, published_s=now_s, captured_unix_s=time.time() - (now_s - self.frame.t_capture_s))

    def faces_of_original(self) -> tuple[FaceReading, ...]:
        """The faces in px of the original, where the frame's picture is a large photo scaled down."""
        by = 1 / self.frame.scale
        return tuple(replace(reading, face=reading.face.scaled(by)) for reading in self.faces)

    def all_faces_of_original(self) -> tuple[FaceBox, ...]:
        """``all_faces`` in px of the original."""
        return tuple(face.scaled(1 / self.frame.scale) for face in self.all_faces)

    def to_doc(self, path: str | None = None) -> ReadingDoc:
        """As the reading schema, in px of the original; with ``path`` as a photo's reading, else as a stream's."""
        height, width = self.frame.original_hw or self.frame.image.shape[:2]
        faces = tuple(
            FaceReadingDoc(
                box=_box_px(*reading.face.box),
                box_inside=box_inside(reading.face.box, (height, width)),
                landmarks={name: (_px(x), _px(y)) for name, (x, y) in reading.face.landmarks.items()},
                score=round(reading.face.score, 4),
                label=reading.label,
                probabilities={name: round(p, 4) for name, p in reading.probabilities.items()},
                track=reading.track,
                uncertain=reading.uncertain,
                zone=reading.zone,
                shift=None if reading.shift is None else {name: round(v, 2) for name, v in reading.shift.items()},
            )
            for reading in self.faces_of_original()
        )
        stage_ms = {name: round(ms, 3) for name, ms in self.stage_ms.items()}
        if path is not None:
            return ReadingDoc(
                width,
                height,
                faces,
                path=printable(path),
                stage_ms=stage_ms,
                damaged=self.frame.damaged,
                path_bytes=name_bytes(path),
                left_out=self.left_out or None,
            )
        return ReadingDoc(
            width,
            height,
            faces,
            source=printable(self.frame.source),
            frame_index=self.frame.index,
            time=None if self.captured_unix_s is None else wall_time(self.captured_unix_s),
            t_media_s=None if self.frame.t_media_s is None else round(self.frame.t_media_s, 6),
            t_capture_s=round(self.frame.t_capture_s, 6),
            published_s=None if self.published_s is None else round(self.published_s, 6),
            stage_ms=stage_ms,
            damaged=self.frame.damaged,
            path_bytes=name_bytes(self.frame.source),
            rate_factor=None if self.rate_factor == 1 else self.rate_factor,
            left_out=self.left_out or None,
        )


def box_inside(box: tuple[float, float, float, float], image_hw: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The part of a box (x, y, width, height) that lies in a picture, in whole px; None where none does."""
    x, y, width, height = box
    left, top = max(0, math.floor(x)), max(0, math.floor(y))
    right, bottom = min(image_hw[1], math.ceil(x + width)), min(image_hw[0], math.ceil(y + height))
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def _box_px(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return _px(x), _px(y), _px(width), _px(height)


def _px(value: float) -> float:
    return round(float(value), 2)
