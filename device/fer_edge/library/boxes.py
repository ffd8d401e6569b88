"""Faces that a program's own detector found: checked, and given the landmarks that they lack."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from fer_edge.detectors.doubt import DoubtingDetector
from fer_edge.errors import ImageError
from fer_edge.library.reading import Face
from fer_edge.tracking.track import iou
from fer_edge.types import FaceBox, FaceDetector, Point, RgbImage

Given: TypeAlias = "Sequence[float] | Mapping[str, Any] | Face"
NAMES = ("right_eye", "left_eye", "nose", "mouth")
# Medians of where BlazeFace sees them, as shares of its box, over 100 faces (benchmarks/own_boxes.py)
PLACES = ((0.281, 0.240), (0.722, 0.253), (0.495, 0.471), (0.490, 0.700))
LOOK = 2.0  # side of the square that landmarks are looked for in, in sides of the box
SAME_FACE = 0.2  # least overlap of a find in it with the given box; boxes of detectors differ much
EXPECTED = 'a box (x, y, width, height) in px, a Face, or {"box": …, "landmarks": …}'


def own_face(given: Given, index: int, image_hw: tuple[int, int]) -> FaceBox:
    """A given face in px of the picture; without landmarks where none were given.

    Args:
        given: four numbers, a face of another reading, or a mapping as in the JSON line. Its landmarks are (x, y) by
            name, or a list of five: the person's right eye, left eye, nose, and the mouth's two corners.
        index: its place in the list, for messages.
        image_hw: (height, width) of the picture in px.

    Raises:
        ImageError: not a box, or one outside the picture; or landmarks that are incomplete.
    """
    what = f"faces[{index}]"
    if isinstance(given, Face):
        return FaceBox(_box(given.box, what, image_hw), _landmarks(given.landmarks or None, what), given.score)
    if isinstance(given, Mapping):
        score = _numbers([given.get("score", 1.0)], 1)
        if score is None:
            raise ImageError(f"{what}: score is {_brief(given['score'])}, expected a number")
        return FaceBox(_box(given.get("box"), what, image_hw), _landmarks(given.get("landmarks"), what), score[0])
    return FaceBox(_box(given, what, image_hw), {}, 1.0)


def with_landmarks(detector: FaceDetector, image: RgbImage, face: FaceBox) -> FaceBox:
    """The face with the landmarks that the detector sees there, else with those of a mean face in its box.

    Args:
        detector: looks at the square around the box; its doubts are not asked for.
        image: (h, w, 3) RGB uint8.
        face: in px of that picture; returned as it is where it has landmarks.
    """
    if face.landmarks:
        return face
    if isinstance(detector, DoubtingDetector):
        detector = detector.detector
    x, y, width, height = face.box
    side = max(width, height) * LOOK
    left, top = max(0, math.floor(x + (width - side) / 2)), max(0, math.floor(y + (height - side) / 2))
    right, bottom = math.ceil(x + (width + side) / 2), math.ceil(y + (height + side) / 2)
    part = np.ascontiguousarray(image[top:bottom, left:right])
    local = (x - left, y - top, width, height)
    found = max(detector.detect(part), key=lambda each: iou(each.box, local), default=None)
    if found is not None and iou(found.box, local) >= SAME_FACE:
        marks = {name: (px + left, py + top) for name, (px, py) in found.landmarks.items()}
    else:
        marks = {n: (x + px * width, y + py * height) for n, (px, py) in zip(NAMES, PLACES, strict=True)}
    return FaceBox(face.box, marks, face.score)


def _box(value: Any, what: str, image_hw: tuple[int, int]) -> tuple[float, float, float, float]:
    numbers = _numbers(value, 4)
    if numbers is None:
        raise ImageError(f"{what}: found {_brief(value)}, expected {EXPECTED}")
    x, y, width, height = numbers
    if width <= 0 or height <= 0 or x >= image_hw[1] or y >= image_hw[0] or x + width <= 0 or y + height <= 0:
        raise ImageError(
            f"{what}: box {_brief(value)} is empty or outside the picture of {image_hw[1]} x {image_hw[0]} px; "
            "expected x, y, width, height in its px"
        )
    return x, y, width, height


def _landmarks(value: Any, what: str) -> dict[str, Point]:
    if value is None:
        return {}
    problem = f"{what}: landmarks {_brief(value)}; expected (x, y) for each of {', '.join(NAMES)}"
    if isinstance(value, Mapping):
        points = [_numbers(value.get(name), 2) for name in NAMES]
    else:
        points = [_numbers(point, 2) for point in value] if isinstance(value, Sequence | np.ndarray) else []
        if len(points) == 5 and points[3] and points[4]:
            points = [*points[:3], [(a + b) / 2 for a, b in zip(points[3], points[4], strict=True)]]
    if len(points) != len(NAMES) or None in points:
        raise ImageError(f"{problem}, or a list of five points, the mouth's corners last")
    return {name: (point[0], point[1]) for name, point in zip(NAMES, points, strict=True) if point is not None}


def _numbers(value: Any, n: int) -> list[float] | None:
    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == n and all(map(math.isfinite, numbers)) else None


def _brief(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
