"""The reading schema (``fer-edge/reading/1``): one JSON line a frame; for photos a list of them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from fer_edge.contract import codec

SCHEMA = "fer-edge/reading/1"


@dataclass(frozen=True)
class FaceReadingDoc:
    """One face. Positions are px of the upright picture; probabilities are the classifier's, score the detector's."""

    box: tuple[float, float, float, float]  # x, y, width, height
    landmarks: dict[str, tuple[float, float]]
    score: float
    label: str
    probabilities: dict[str, float]
    track: int | None = None
    uncertain: bool | None = None


@dataclass(frozen=True)
class ReadingDoc:
    """One frame or photo. ``source`` for a stream, ``path`` for a photo; no face is an empty list, not an error."""

    width: int
    height: int
    faces: tuple[FaceReadingDoc, ...]
    source: str | None = None
    path: str | None = None
    frame_index: int | None = None
    t_capture_s: float | None = None
    stage_ms: dict[str, float] | None = None
    rate_factor: float | None = None  # 0.5 or 0.25 while the device slows itself because of heat or an alarm


def dump_line(reading: ReadingDoc) -> str:
    """One JSON line, without the line feed."""
    return json.dumps({"schema": SCHEMA, **codec.encode(reading)}, ensure_ascii=False, allow_nan=False)


def load_line(text: str | bytes) -> ReadingDoc:
    """Reads a line that ``dump_line`` wrote; raises SchemaError with the field's path."""
    return codec.loads(SCHEMA, ReadingDoc, text)
