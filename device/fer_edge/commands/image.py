"""``fer-edge image``: the expressions in photos, as text, JSON and annotated pictures."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fer_edge.contract.baseline import load as load_baseline
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.contract.names import name_bytes, printable, shown
from fer_edge.contract.outputs import clash
from fer_edge.contract.reading import FaceReadingDoc, ReadingDoc, dump_line
from fer_edge.detectors import PHOTO_TILES
from fer_edge.errors import EdgeError, ImageError, LandmarkError, UsageError
from fer_edge.pictures.annotate import annotate, blur_faces, write_picture
from fer_edge.pictures.files import list_photos
from fer_edge.pictures.photo import read_photo
from fer_edge.pipeline import Pipeline, open_pipeline
from fer_edge.setting import tuned
from fer_edge.setting.find import find_bundle
from fer_edge.setting.setting import Setting
from fer_edge.sinks.jsonl import JsonlSink
from fer_edge.tracking.neutral import MARGIN, NEUTRAL

DONE, BAD, INCOMPLETE = 0, 2, 3  # exit status: all read; some not; all, but some were damaged
_WRITABLE = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff")  # what annotated pictures may be


@dataclass(frozen=True)
class ImageOptions:
    """What is done with the photos.

    Attributes:
        as_json: print a list of readings instead of text.
        jsonl: file that gets one line per photo, as soon as it is read; ``-`` is standard output, None for none.
        annotate_to: picture to write, or for several photos a folder that gets a picture of the same name each.
        blur: make the faces in it unrecognizable.
        baseline: log-odds of the neutral of whoever is seen, see ``Pipeline``.
    """

    as_json: bool = False
    jsonl: str | None = None
    annotate_to: Path | None = None
    blur: bool = False
    baseline: tuple[float, ...] | None = None


@dataclass
class _Batch:
    """The photos to read: paths, where each one's picture goes, and the errors known before."""

    paths: list[Path] = field(default_factory=list)
    errors: list[tuple[Path, ImageError]] = field(default_factory=list)
    has_folder: bool = False


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; gives the exit status."""
    bundle = open_bundle(find_bundle(arguments.bundle)).answering_in(arguments.labels)
    told = (arguments.variant, arguments.threads, arguments.detector, arguments.min_score)
    setting = tuned.choose(bundle, *told, is_live=False)
    baseline = None if arguments.baseline is None else load_baseline(arguments.baseline, bundle).log_odds
    return read_images(
        bundle,
        arguments.paths,
        ImageOptions(arguments.json, arguments.jsonl, arguments.annotate, arguments.blur, baseline),
        setting=setting,
        tiles=PHOTO_TILES if arguments.tiles is None else arguments.tiles,
    )


def read_images(
    bundle: Bundle,
    paths: list[Path],
    options: ImageOptions,
    *,
    setting: Setting | None = None,
    tiles: tuple[int, ...] = (),
) -> int:
    """Reads each photo and prints what it finds, one after the other; a photo without a face is a result.

    A photo that cannot be read is one line on stderr and an entry with ``error``, and the others are read.

    Args:
        bundle: see ``open_bundle``.
        paths: photos, and folders, whose photos are read in natural order.
        options: see ``ImageOptions``.
        setting: how the bundle runs; None takes the defaults.
        tiles: see ``make_detector``.

    Returns:
        The exit status: 0, 2 where a photo could not be read, 3 where a damaged one was read as far as it goes.

    Raises:
        UsageError: several photos and one picture to write, or two outputs in one place.
    """
    if options.as_json and options.jsonl == "-":
        raise UsageError("--json and --jsonl -: both write to standard output; expected one of them")
    batch = _expand(paths)
    targets = {} if options.annotate_to is None else _targets(options.annotate_to, batch)
    ours = (path for path in bundle.path.rglob("*") if path.is_file())
    if problem := clash({"--jsonl": options.jsonl or ""}, [*batch.paths, *targets.values(), *ours]):
        raise UsageError(problem)
    pipeline = open_pipeline(bundle, setting, tiles, baseline=options.baseline)
    documents: list[dict[str, Any]] = []
    status = DONE
    with contextlib.ExitStack() as cleanup:
        lines = None if options.jsonl is None else cleanup.enter_context(JsonlSink(options.jsonl))
        for path, document, problem in _read_all(pipeline, batch, targets, options.blur):
            if problem:
                print(f"fer-edge: {problem}", file=sys.stderr)
                status = BAD if problem.startswith("error: ") else status or INCOMPLETE
            if lines is not None:
                lines.write(document)
            if options.as_json:
                documents.append(json.loads(dump_line(document)))
            elif options.jsonl != "-" and document.error is None:
                _print(path, document)
    if options.as_json:
        if isinstance(sys.stdout, io.TextIOWrapper):  # JSON is UTF-8 whatever the terminal's
            sys.stdout.reconfigure(encoding="utf-8")
        print(json.dumps(documents, indent=1, ensure_ascii=False))
    return status


def _read_all(
    pipeline: Pipeline, batch: _Batch, targets: dict[Path, Path], blur: bool
) -> Iterator[tuple[Path, ReadingDoc, str]]:
    """(photo, its reading, what is to be said of it) of each, as soon as it is read and its picture written."""
    for path, error in batch.errors:
        yield path, _failed(path, error), f"error: {error}"
    for index, path in enumerate(batch.paths):
        try:
            photo = read_photo(path, keep_original=path in targets, take_damaged=True)
            reading = pipeline.read_frame(photo.frame(index, str(path)))
        except (ImageError, LandmarkError) as failure:
            yield path, _failed(path, failure), f"error: {failure}"
            continue
        problem = f"photo {shown(path)}: damaged ({photo.flaw}); what is left was read" if photo.flaw else ""
        if photo.original is not None:
            try:
                image = blur_faces(photo.original, reading.all_faces_of_original()) if blur else photo.original
                write_picture(targets[path], annotate(image, reading.faces_of_original(), blur))
            except ImageError as failure:
                problem = f"error: {failure}"
        yield path, reading.to_doc(path=str(path)), problem


def _failed(path: Path, error: EdgeError) -> ReadingDoc:
    return ReadingDoc(0, 0, (), path=printable(path), error=str(error), path_bytes=name_bytes(path))


def _expand(paths: list[Path]) -> _Batch:
    """Folders as their photos; says what in them is not read."""
    batch = _Batch()
    for path in paths:
        if not path.is_dir():
            batch.paths.append(path)
            continue
        batch.has_folder = True
        try:
            folder = list_photos(path)
            if not folder.paths:
                raise ImageError(f"folder {printable(path)}: no photos in it{folder.skipped_words('; ')}")
        except ImageError as error:
            batch.errors.append((path, error))
            continue
        batch.paths += folder.paths
        if folder.skipped:
            print(f"fer-edge: folder {shown(path)}: {folder.skipped_words()}", file=sys.stderr)
    return batch


def _targets(annotate_to: Path, batch: _Batch) -> dict[Path, Path]:
    """The picture to write for each photo: the name itself, or one in a folder.

    Raises:
        UsageError: two photos would get one picture, or a photo would be overwritten.
    """
    flag = f"--annotate {shown(annotate_to)}"
    is_picture = bool(annotate_to.suffix) and not annotate_to.is_dir()
    if is_picture and (len(batch.paths) > 1 or batch.has_folder):
        raise UsageError(f"{flag}: one picture for {len(batch.paths)} photos; expected a folder's name")
    targets = {path: annotate_to if is_picture else annotate_to / _picture_name(path) for path in batch.paths}
    inputs = {path.resolve() for path in batch.paths}
    by_target: dict[Path, Path] = {}
    for path, target in targets.items():
        if target.resolve() in inputs:
            raise UsageError(f"{flag}: would overwrite {printable(path)}; expected another name or folder")
        if target in by_target:
            both = f"{printable(by_target[target])} and {printable(path)}"
            raise UsageError(f"{flag}: {both} would both be {target.name}; annotate them in two calls")
        by_target[target] = path
    folder = annotate_to.parent if is_picture else annotate_to
    if not folder.exists() and targets:
        print(f"fer-edge: {flag}: makes the folder {shown(folder)}", file=sys.stderr)
    return targets


def _picture_name(path: Path) -> str:
    return path.name if path.suffix.lower() in _WRITABLE else f"{path.name}.jpg"


def _print(path: Path, reading: ReadingDoc) -> None:
    name = shown(path)
    if not reading.faces:
        print(f"{name}: no face", flush=True)
    for i, face in enumerate(reading.faces):
        x, y, w, h = (round(value) for value in face.box)
        ranked = sorted(face.probabilities.items(), key=lambda item: -item[1])[:3]
        shares = ", ".join(f"{label} {p:.0%}" for label, p in ranked)
        print(f"{name}: face {i + 1} at {x},{y} {w}x{h} px: {face.label} ({shares}){_shift(face)}", flush=True)


def _shift(face: FaceReadingDoc) -> str:
    """What is more than in the face's own neutral, by more than a change of light would do."""
    more = sorted((v, name) for name, v in (face.shift or {}).items() if v > MARGIN and name != NEUTRAL)
    return "".join(f"; {name} {v:+.1f} above its neutral" for v, name in reversed(more[-1:]))
