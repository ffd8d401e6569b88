"""``fer-edge baseline``: a face's own neutral, from photos or a few seconds of a camera, as a small file."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from fer_edge.contract import baseline
from fer_edge.contract.bundle import open_bundle
from fer_edge.contract.names import shown
from fer_edge.contract.outputs import clash
from fer_edge.contract.reading import wall_time
from fer_edge.detectors import PHOTO_TILES
from fer_edge.errors import ImageError, SourceError, UsageError
from fer_edge.pictures.photo import read_photo
from fer_edge.pipeline import Pipeline, open_pipeline
from fer_edge.profiler.report import write_text
from fer_edge.setting import tuned
from fer_edge.setting.find import find_bundle
from fer_edge.sources import open_source
from fer_edge.sources.camera import find_camera
from fer_edge.tracking.neutral import NEUTRAL, log_odds
from fer_edge.types import FaceReading, Frame

LEAST_FRAMES = 3  # of a camera or a clip


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; gives the exit status."""
    ways = [bool(arguments.photos), arguments.camera, bool(arguments.source)]
    if sum(ways) != 1:
        raise UsageError(f"baseline: {'several' if any(ways) else 'no'} sources; expected PHOTO…, --camera or --source")
    if problem := clash({"--out": arguments.out}, arguments.photos):
        raise UsageError(problem)
    if not arguments.out.parent.is_dir():
        raise UsageError(f"--out {shown(arguments.out)}: no folder {shown(arguments.out.parent)}; make it first")
    bundle = open_bundle(find_bundle(arguments.bundle)).answering_in(arguments.labels)
    told = (arguments.variant, arguments.threads, arguments.detector)
    pipeline = open_pipeline(bundle, tuned.choose(bundle, *told, is_live=False), PHOTO_TILES if ways[0] else ())
    if ways[0]:
        faces = [_only_face(pipeline, read_photo(path).frame(0, str(path)), path) for path in arguments.photos]
    else:
        faces = list(_seen(pipeline, arguments.source, arguments.seconds))
        if len(faces) < LEAST_FRAMES:
            found = f"a face in {len(faces)} frames of {arguments.seconds:g} s"
            raise UsageError(
                f"baseline: {found}, expected at least {LEAST_FRAMES}; look at the camera, with more light"
            )
    labels = bundle.manifest.labels
    rows = [log_odds([face.probabilities[name] for name in labels]) for face in faces]
    mean = tuple(round(sum(column) / len(rows), 4) for column in zip(*rows, strict=True))
    made_at = wall_time(time.time())
    document = baseline.BaselineDoc(bundle.manifest.model_id, bundle.sha256, labels, mean, len(rows), made_at)
    write_text(arguments.out, baseline.dumps(document))
    print(f"{shown(arguments.out)}: neutral of {len(rows)} picture(s); give it to run or image with --baseline")
    shown_as = [face.label for face in faces if face.label != NEUTRAL]
    if NEUTRAL in labels and len(shown_as) > len(faces) / 2:
        print(f"it looks {max(set(shown_as), key=shown_as.count)} to the network; no harm if the face was still")
    return 0


def _only_face(pipeline: Pipeline, frame: Frame, path: Path) -> FaceReading:
    faces = pipeline.read_frame(frame).faces
    if len(faces) != 1:
        raise ImageError(f"photo {shown(path)}: {len(faces)} faces, expected one, still and looking at the camera")
    return faces[0]


def _seen(pipeline: Pipeline, uri: str, seconds: float) -> Iterator[FaceReading]:
    """The face of each frame for so long; frames without one, or with several, do not count."""
    source = open_source(uri, realtime=True) if uri else find_camera()
    with closing(source):
        until = time.monotonic() + seconds
        for frame in source:
            faces = pipeline.read_frame(frame).faces
            if len(faces) == 1:
                yield faces[0]
            if time.monotonic() > until:
                return
    if source.incomplete:
        raise SourceError(f"source {source.name}: {source.incomplete}")
