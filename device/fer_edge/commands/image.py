"""``fer-edge image``: the expressions in photos, as text, JSON and annotated pictures."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.contract.reading import ReadingDoc, dump_line
from fer_edge.detectors import PHOTO_TILES
from fer_edge.errors import UsageError
from fer_edge.pictures.annotate import annotate, write_picture
from fer_edge.pictures.photo import read_photo
from fer_edge.pipeline import open_pipeline
from fer_edge.setting import tuned
from fer_edge.setting.find import find_bundle
from fer_edge.setting.setting import Setting
from fer_edge.types import Frame


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; gives the exit status."""
    bundle = open_bundle(find_bundle(arguments.bundle)).answering_in(arguments.labels)
    setting = tuned.choose(bundle, arguments.variant, arguments.threads, arguments.detector)
    return read_images(
        bundle,
        arguments.paths,
        setting=setting,
        tiles=PHOTO_TILES if arguments.tiles is None else arguments.tiles,
        as_json=arguments.json,
        annotate_to=arguments.annotate,
        blur=arguments.blur,
    )


def read_images(
    bundle: Bundle,
    paths: list[Path],
    *,
    setting: Setting | None = None,
    tiles: tuple[int, ...] = (),
    as_json: bool = False,
    annotate_to: Path | None = None,
    blur: bool = False,
) -> int:
    """Reads each photo and prints what it finds; a photo without a face is a result.

    Args:
        bundle: see ``open_bundle``.
        paths: photos.
        setting: how the bundle runs; None takes the defaults.
        tiles: see ``make_detector``.
        as_json: print a list of readings instead of text.
        annotate_to: picture to write, or for several photos a folder that gets a picture of the same name each.
        blur: make the faces in it unrecognizable.

    Returns:
        The exit status.

    Raises:
        ImageError: a photo cannot be read.
        UsageError: several photos and one picture to write.
    """
    if annotate_to is not None and len(paths) > 1 and annotate_to.suffix:
        raise UsageError(f"--annotate {annotate_to}: one picture for {len(paths)} photos; expected a folder's name")
    inputs = {path.resolve() for path in paths}
    for path in paths:
        if annotate_to is not None and _target(annotate_to, path).resolve() in inputs:
            raise UsageError(f"--annotate {annotate_to}: would overwrite {path}; expected another name or folder")
    names = [path.name for path in paths]
    twin = next((name for name in names if names.count(name) > 1), None)
    if annotate_to is not None and twin:
        raise UsageError(f"--annotate {annotate_to}: two photos are named {twin}; annotate them in two calls")
    pipeline = open_pipeline(bundle, setting, tiles)
    documents: list[dict[str, Any]] = []
    for index, path in enumerate(paths):
        photo = read_photo(path)
        frame = Frame(photo.image, index, time.monotonic(), str(path), photo.scale, photo.original_hw)
        reading = pipeline.read_frame(frame)
        document = reading.to_doc(path=str(path))
        if as_json:
            documents.append(json.loads(dump_line(document)))
        else:
            _print(path, document)
        if annotate_to is not None:
            write_picture(_target(annotate_to, path), annotate(photo.image, reading.faces, blur))
    if as_json:
        print(json.dumps(documents, indent=1, ensure_ascii=False))
    return 0


def _target(annotate_to: Path, path: Path) -> Path:
    """The picture to write for one photo: the name itself, or one in a folder."""
    return annotate_to if annotate_to.suffix else annotate_to / path.name


def _print(path: Path, reading: ReadingDoc) -> None:
    if not reading.faces:
        print(f"{path}: no face")
    for i, face in enumerate(reading.faces):
        x, y, w, h = (round(value) for value in face.box)
        ranked = sorted(face.probabilities.items(), key=lambda item: -item[1])[:3]
        shares = ", ".join(f"{name} {p:.0%}" for name, p in ranked)
        print(f"{path}: face {i + 1} at {x},{y} {w}x{h} px: {face.label} ({shares})")
