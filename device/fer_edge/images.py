"""``fer-edge image``: the expressions in photos, as text, JSON and annotated pictures."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from fer_edge.annotate import annotate, write_picture
from fer_edge.contract.bundle import Bundle
from fer_edge.contract.reading import dump_line
from fer_edge.errors import UsageError
from fer_edge.photo import Photo, read_photo
from fer_edge.pipeline import open_pipeline
from fer_edge.types import FaceBox, FaceReading, Frame, FrameReading


def read_images(
    bundle: Bundle,
    paths: list[Path],
    *,
    variant_id: str | None = None,
    threads: int = 1,
    tiles: tuple[int, ...] = (),
    as_json: bool = False,
    annotate_to: Path | None = None,
) -> int:
    """Reads each photo and prints what it finds; a photo without a face is a result.

    Args:
        bundle: see ``open_bundle``.
        paths: photos.
        variant_id: of the classifier; None takes the bundle's default.
        threads: of the interpreters.
        tiles: see ``make_detector``.
        as_json: print a list of readings instead of text.
        annotate_to: picture to write, or for several photos a folder that gets a picture of the same name each.

    Returns:
        The exit status.

    Raises:
        ImageError: a photo cannot be read.
        UsageError: several photos and one picture to write.
    """
    if annotate_to is not None and len(paths) > 1 and annotate_to.suffix:
        raise UsageError(f"--annotate {annotate_to}: one picture for {len(paths)} photos; expected a folder's name")
    names = [path.name for path in paths]
    twin = next((name for name in names if names.count(name) > 1), None)
    if annotate_to is not None and twin:
        raise UsageError(f"--annotate {annotate_to}: two photos are named {twin}; annotate them in two calls")
    pipeline = open_pipeline(bundle, variant_id, threads, tiles)
    documents: list[dict[str, Any]] = []
    for index, path in enumerate(paths):
        photo = read_photo(path)
        reading = in_original_px(pipeline.read_frame(Frame(photo.image, index, time.monotonic(), str(path))), photo)
        if as_json:
            documents.append(json.loads(dump_line(reading.to_doc(path=str(path)))))
        else:
            _print(path, reading)
        if annotate_to is not None:
            target = annotate_to if annotate_to.suffix else annotate_to / path.name
            write_picture(target, annotate(photo.image, _scaled(reading.faces, photo.scale)))
    if as_json:
        print(json.dumps(documents, indent=1, ensure_ascii=False))
    return 0


def in_original_px(reading: FrameReading, photo: Photo) -> FrameReading:
    """The reading with positions in px of the upright original instead of the scaled picture."""
    height, width = photo.original_hw
    return FrameReading(reading.frame, _scaled(reading.faces, 1 / photo.scale), reading.stage_ms, (height, width))


def _scaled(faces: tuple[FaceReading, ...], by: float) -> tuple[FaceReading, ...]:
    return tuple(
        FaceReading(
            FaceBox(
                (face.face.box[0] * by, face.face.box[1] * by, face.face.box[2] * by, face.face.box[3] * by),
                {name: (x * by, y * by) for name, (x, y) in face.face.landmarks.items()},
                face.face.score,
            ),
            face.label,
            face.probabilities,
        )
        for face in faces
    )


def _print(path: Path, reading: FrameReading) -> None:
    if not reading.faces:
        print(f"{path}: no face")
    for i, face in enumerate(reading.faces):
        x, y, w, h = (round(value) for value in face.face.box)
        ranked = sorted(face.probabilities.items(), key=lambda item: -item[1])[:3]
        shares = ", ".join(f"{name} {p:.0%}" for name, p in ranked)
        print(f"{path}: face {i + 1} at {x},{y} {w}x{h} px: {face.label} ({shares})")
