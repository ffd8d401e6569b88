"""What a program gets: ``Reading`` and its ``Face``s, in px of the picture that it gave."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract import reading as schema
from fer_edge.contract.json_schema import json_schema
from fer_edge.types import FrameReading, box_inside

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Face:
    """One face and what it shows.

    Attributes:
        box: x, y, width, height in px of the picture; it may reach beyond the picture's edges.
        landmarks: (x, y) in px by name: ``right_eye`` and ``left_eye`` (the person's own), ``nose``, ``mouth``; empty
            for a face from ``read_crops``.
        score: the detector's, 0..1; 1 where the box was given.
        label: the expression shown; in ``follow`` it changes only when another one clearly leads.
        probabilities: by label, each 0..1, together 1.
        track: the same number for the same face over the frames of one ``follow``; None elsewhere.
        uncertain: no label leads clearly; None outside ``follow``.
        zone: name of the zone that the face is in; None without zones.
        shift: by label, how far the face is from its own neutral, in log-odds; None in ``read`` without a baseline, and
            until a second of neutral was seen. It says what changed in this face, not who it is or what it feels.
    """

    box: Box
    landmarks: dict[str, tuple[float, float]]
    score: float
    label: str
    probabilities: dict[str, float]
    track: int | None = None
    uncertain: bool | None = None
    zone: str | None = None
    shift: dict[str, float] | None = None

    def __repr__(self) -> str:
        number = "" if self.track is None else f" {self.track}"
        doubt = "?" if self.uncertain else ""
        x, y, w, h = (round(value) for value in self.box)
        return f"Face{number}({self.label}{doubt} {self.probabilities[self.label]:.0%} at {x},{y} {w}x{h} px)"


class Reading:
    """The faces of one picture.

    It holds no pixels, except those of ``image`` for a frame of ``follow``: keep ``to_dict()`` where you keep many.
    """

    __slots__ = ("_doc", "_faces", "_image", "_inner")

    def __init__(self, inner: FrameReading, *, path: str | None = None, keep_image: bool = False) -> None:
        frame = inner.frame
        self._image: NDArray[np.uint8] | None = frame.image if keep_image else None
        self._inner = inner if keep_image else without_pixels(inner)
        self._doc = inner.to_doc(path)
        self._faces = tuple(
            Face(
                each.face.box,
                each.face.landmarks,
                each.face.score,
                each.label,
                each.probabilities,
                each.track,
                each.uncertain,
                each.zone,
                each.shift,
            )
            for each in inner.faces_of_original()
        )

    @property
    def faces(self) -> tuple[Face, ...]:
        """Every face that was read; none is a result too."""
        return self._faces

    @property
    def width(self) -> int:
        """Of the upright picture, px."""
        return self._doc.width

    @property
    def height(self) -> int:
        """Of the upright picture, px."""
        return self._doc.height

    @property
    def image(self) -> NDArray[np.uint8] | None:
        """The frame's picture, (height, width, 3) RGB uint8, in readings of ``follow``; None in those of ``read``."""
        return self._image

    @property
    def source(self) -> str:
        """The photo's path, the source's URI without a password, or what the program gave: "array", "bytes"."""
        return self._inner.frame.source

    @property
    def index(self) -> int:
        """Number of the frame in its source, from 0."""
        return self._inner.frame.index

    @property
    def t_capture_s(self) -> float:
        """When it was captured (a file: read), s of ``time.monotonic()``."""
        return self._inner.frame.t_capture_s

    @property
    def t_media_s(self) -> float | None:
        """Place in the clip, s; None for cameras and photos."""
        return self._inner.frame.t_media_s

    @property
    def age_s(self) -> float:
        """From capture to the reading, s."""
        return self._inner.age_s or 0.0

    @property
    def stage_ms(self) -> dict[str, float]:
        """How long each stage took, ms: ``detect``, ``track``, ``align``, ``infer``."""
        return dict(self._inner.stage_ms)

    @property
    def damaged(self) -> bool:
        """Parts of the picture are missing or made up by the decoder; what is left was read."""
        return bool(self._inner.frame.damaged)

    @property
    def left_out(self) -> int:
        """Finds of the detector that a second look did not take for faces."""
        return self._inner.left_out

    def inside(self, face: Face) -> tuple[int, int, int, int] | None:
        """What of a face's box lies in the picture, x, y, width, height in whole px; None where nothing does."""
        return box_inside(face.box, (self.height, self.width))

    def to_dict(self) -> dict[str, Any]:
        """The JSON line of ``fer-edge image --jsonl`` and ``fer-edge run --jsonl`` as a dictionary.

        Its JSON Schema is ``fer_edge.reading_schema()``.
        """
        return schema.to_dict(self._doc)

    def __repr__(self) -> str:
        faces = ", ".join(map(repr, self.faces)) or "no face"
        return f"Reading({self.source}, {self.width} x {self.height} px: {faces})"


def inner_of(reading: Reading) -> FrameReading:
    """The pipeline's own reading, for the sinks."""
    return reading._inner


def document_of(reading: Reading) -> schema.ReadingDoc:
    """The JSON line's document."""
    return reading._doc


def without_pixels(inner: FrameReading) -> FrameReading:
    """The same reading of a picture of the same shape that takes no memory; its pixels are not to be looked at."""
    nothing = np.broadcast_to(np.uint8(0), inner.frame.image.shape)
    return replace(inner, frame=replace(inner.frame, image=nothing))


def reading_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of ``Reading.to_dict()`` and of every JSON line that fer-edge writes."""
    return json_schema(schema.SCHEMA, schema.ReadingDoc)
