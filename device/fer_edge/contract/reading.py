"""The reading schema (``fer-edge/reading/1``): one JSON line per frame; for photos a list of them.

Three times, none of which stands for another: where in the clip (``t_media_s``), when by the wall clock (``time``), and
when by a clock that never jumps (``t_capture_s``, ``published_s``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from fer_edge.contract import codec

SCHEMA = "fer-edge/reading/1"


@dataclass(frozen=True)
class FaceReadingDoc:
    """One face. Positions are px of the upright picture; probabilities are the classifier's, score the detector's.

    Attributes:
        box: x, y, width, height; where the picture's edge cuts a face off it reaches outside: below 0, or beyond
            ``width`` and ``height``.
        landmarks: eyes, nose, mouth and so on: x, y.
        score: the detector's, 0 to 1.
        label: the expression shown.
        probabilities: one per label, 0 to 1, together 1.
        track: the same number for the same face over frames; absent for a photo.
        uncertain: no label leads clearly; absent where nobody decided.
        zone: name of the configured zone that the face is in; absent without zones.
        shift: log-odds against this face's own neutral, by label; absent where none is known.
        box_inside: what of the box lies in the picture, in whole px: ``img[y : y + h, x : x + w]`` is never empty;
            absent where nothing does.
    """

    box: tuple[float, float, float, float]
    landmarks: dict[str, tuple[float, float]]
    score: float
    label: str
    probabilities: dict[str, float]
    track: int | None = None
    uncertain: bool | None = None
    zone: str | None = None
    shift: dict[str, float] | None = None
    box_inside: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class ReadingDoc:
    r"""One frame or photo. ``source`` for a stream, ``path`` for a photo; no face is an empty list, not an error.

    Attributes:
        width: width of the upright picture, px.
        height: its height, px.
        faces: one entry per face; an empty list is a result too.
        source: what a stream's frame comes from, without a login.
        path: the photo's file.
        frame_index: number of the frame in its source, from 0.
        time: wall clock of the capture, RFC 3339 in UTC with ms; of a clip's frame, when it was read.
        t_media_s: place in the clip, s, by the container's own time stamps; absent for cameras and photos.
        t_capture_s: capture, s of CLOCK_MONOTONIC since this boot; of a clip's frame, when it was read.
        published_s: when the reading was given to the sinks, s of the same clock as ``t_capture_s``.
        stage_ms: how long each stage took, ms.
        rate_factor: 0.5 or 0.25 while the device slows a live source because of heat or an alarm.
        left_out: finds of the detector that a second look did not take for faces; absent where there are none.
        damaged: true where parts of the picture are missing or made up by the decoder; absent where none are known.
        error: why a photo of several could not be read; width and height are then 0.
        path_bytes: the bytes of ``source`` or ``path``, percent-encoded, where they are not UTF-8; there such a byte
            is shown as ``\xe9``.
    """

    width: int
    height: int
    faces: tuple[FaceReadingDoc, ...]
    source: str | None = None
    path: str | None = None
    frame_index: int | None = None
    time: str | None = None
    t_media_s: float | None = None
    t_capture_s: float | None = None
    published_s: float | None = None
    stage_ms: dict[str, float] | None = None
    damaged: bool | None = None
    error: str | None = None
    path_bytes: str | None = None
    rate_factor: float | None = None
    left_out: int | None = None


def to_dict(reading: ReadingDoc) -> dict[str, Any]:
    """What a line holds, as dictionaries, lists, texts and numbers."""
    return {"schema": SCHEMA, **codec.encode(reading)}


def dump_line(reading: ReadingDoc) -> str:
    """One JSON line, without the line feed."""
    return json.dumps(to_dict(reading), ensure_ascii=False, allow_nan=False)


def load_line(text: str | bytes) -> ReadingDoc:
    """Reads a line that ``dump_line`` wrote; raises SchemaError with the field's path."""
    return codec.loads(SCHEMA, ReadingDoc, text)


def wall_time(t_s: float) -> str:
    """Unix time in s as RFC 3339 in UTC with ms, e.g. ``2026-11-26T21:50:53.120+00:00``: sorts as text, on every day.

    Written as ``+00:00``, which every reader of RFC 3339 knows (``datetime.fromisoformat`` of Python 3.10 has no Z).
    """
    return datetime.fromtimestamp(t_s, timezone.utc).isoformat(timespec="milliseconds")
