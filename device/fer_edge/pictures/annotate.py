"""Draws boxes and labels onto a picture, readable at any size; and makes faces unrecognizable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from fer_edge.contract.whole import whole_file
from fer_edge.errors import ImageError
from fer_edge.types import FaceBox, FaceReading, RgbImage

INK = (20, 20, 20)  # R, G, B
# one for each face, by its number, again after the last; the page's list has the same. Told apart by color-blind people
# too (brightened from Okabe and Ito), and INK is readable on each
COLORS = (
    (255, 200, 0),
    (110, 200, 255),
    (0, 190, 140),
    (240, 150, 200),
    (240, 130, 60),
    (180, 160, 255),
    (190, 215, 90),
    (225, 225, 225),
)


def number_of(reading: FaceReading, place: int) -> int:
    """A face's number for people: its track, else its place in the list of faces, from 1."""
    return place + 1 if reading.track is None else reading.track


def annotate(image: RgbImage, faces: Sequence[FaceReading], blur: bool = False) -> RgbImage:
    """A copy with a box, "label 97%" and the landmarks of every face in its own color; numbered where they are several.

    Args:
        image: (h, w, 3) RGB uint8.
        faces: in px of that picture.
        blur: make the faces unrecognizable, and leave the landmarks out, which would draw them anew.
    """
    out = blur_faces(image, (reading.face for reading in faces)) if blur else image.copy()
    height, width = out.shape[:2]
    for place, reading in enumerate(faces):
        number = number_of(reading, place)
        color = COLORS[(number - 1) % len(COLORS)]
        x, y, w, h = reading.face.box
        line = max(1, round(min(w, h) / 60))
        cv2.rectangle(out, (round(x), round(y)), (round(x + w), round(y + h)), color, line, cv2.LINE_AA)
        for px, py in () if blur else reading.face.landmarks.values():
            cv2.circle(out, (round(px), round(py)), line + 1, color, -1, cv2.LINE_AA)
        doubt = "?" if reading.uncertain else ""
        text = (
            f"{f'{number} ' if len(faces) > 1 else ''}{reading.label}{doubt} {reading.probabilities[reading.label]:.0%}"
        )
        scale = float(np.clip(w / 180, 0.35, 2.5))
        thickness = max(1, round(scale * 1.6))
        (tw, th), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
        left = int(np.clip(round(x), 0, max(0, width - tw - 4)))
        top = round(y) - th - base - 4
        if top < 0:  # no room above: inside the box, below its upper edge
            top = int(np.clip(round(y), 0, height - th - base - 4))
        cv2.rectangle(out, (left, top), (left + tw + 4, top + th + base + 4), color, -1)
        origin = (left + 2, top + th + 2)
        cv2.putText(out, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, thickness, cv2.LINE_AA)
    return out


def blur_faces(image: RgbImage, faces: Iterable[FaceBox]) -> RgbImage:
    """A copy in which nobody can be recognized by the face: each is reduced to 6 cells across and smoothed.

    So few cells hold no more of a face than its tint; a blur alone can be undone in part.

    Args:
        image: (h, w, 3) RGB uint8.
        faces: in px of that picture; the box is widened by a quarter to each side, and by a half upwards (hair).
    """
    out = image.copy()
    height, width = out.shape[:2]
    for face in faces:
        x, y, w, h = face.box
        left, right = (int(np.clip(edge, 0, width)) for edge in (x - w / 4, x + 5 * w / 4))
        top, bottom = (int(np.clip(edge, 0, height)) for edge in (y - h / 2, y + 5 * h / 4))
        if right - left < 1 or bottom - top < 1:
            continue
        region = out[top:bottom, left:right]
        cells = cv2.resize(region, (6, 6), interpolation=cv2.INTER_AREA)
        out[top:bottom, left:right] = cv2.resize(cells, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    return out


def encode_jpeg(image: RgbImage, quality: int = 80) -> bytes:
    """RGB (h, w, 3) uint8 as a JPEG file's content; without EXIF or anything else of where it came from.

    Raises:
        ImageError: a picture that JPEG cannot hold.
    """
    try:
        ok, content = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error:
        ok = False
    if not ok:
        height, width = image.shape[:2]
        raise ImageError(f"picture: {width} x {height} px cannot be written as JPEG; expected at most 65535 px a side")
    return bytes(content.tobytes())


def write_picture(path: Path, image: RgbImage) -> None:
    """Writes RGB as the file type that the name says; complete or not at all.

    Raises:
        ImageError: a suffix that is no picture's, or a place that cannot be written.
    """
    try:
        ok, content = cv2.imencode(path.suffix or ".jpg", image[:, :, ::-1])
    except cv2.error:
        ok = False
    if not ok:
        raise ImageError(f"picture {path}: cannot write {path.suffix!r} files; expected .jpg or .png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write_bytes(content.tobytes())
    except OSError as error:
        raise ImageError(f"picture {path}: {error.strerror}; expected a place that can be written") from error
