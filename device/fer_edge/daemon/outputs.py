"""The files that a run writes, none of which may be one that it reads; and the sinks that must get every reading."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from fer_edge.config import Config, keys
from fer_edge.contract.bundle import Bundle
from fer_edge.contract.outputs import STDOUT, clash
from fer_edge.errors import UsageError
from fer_edge.sinks.fanout import QueuedSink
from fer_edge.sources import SCHEMES, SourceUri
from fer_edge.types import FrameSource, Sink


def check_outputs(config: Config, uri: SourceUri | None, bundle: Bundle, file: Path | None) -> None:
    """Refuses an output that is an input or another output, under whatever name.

    Args:
        config: of the run.
        uri: of the source; None for the first camera found.
        bundle: that is read.
        file: of the configuration.

    Raises:
        UsageError: says both, and what is expected.
    """
    if config.annotate.path:
        is_clip = uri is not None and not SCHEMES[uri.scheme].is_camera and SCHEMES[uri.scheme].tracks_faces
        if uri is None or not is_clip:
            name = "camera://" if uri is None else uri.text
            hint = "; for photos: fer-edge image --annotate" if name.startswith("images:") else ""
            raise UsageError(f"--annotate: {name} is no clip; expected the path of a video, or no --annotate{hint}")
        if config.source.loop:
            raise UsageError("--annotate: the video of a clip that loops has no end; expected no --loop")
    outputs = {"--jsonl": config.jsonl.path, "--csv": config.csv.path, "--annotate": config.annotate.path}
    problem = clash(outputs, _inputs(config, uri, bundle, file))
    if problem:
        raise UsageError(problem)


def open_files(
    config: Config, bundle: Bundle, cleanup: contextlib.ExitStack, is_camera: bool, source: FrameSource | None
) -> list[Sink]:
    """The sinks that write files: of a camera behind a queue each; of a clip raising, since they must be complete.

    Args:
        config: of the run.
        bundle: names the labels.
        cleanup: closes them.
        is_camera: a frame is worth more than a line.
        source: that was opened; None while a camera is waited for.

    Raises:
        UsageError: a file cannot be written.
    """
    files: list[Sink] = []
    if config.jsonl.path:
        from fer_edge.sinks.jsonl import JsonlSink

        files.append(JsonlSink(config.jsonl.path, strict=not is_camera))
        cleanup.callback(files[-1].close)
    if config.csv.path:
        from fer_edge.sinks.csv_file import CsvSink

        files.append(CsvSink(config.csv.path, bundle.manifest.labels, strict=not is_camera))
        cleanup.callback(files[-1].close)
    if config.annotate.path:
        from fer_edge.sinks.video import VideoSink

        fps = 0.0 if source is None else source.nominal_fps
        files.append(VideoSink(Path(config.annotate.path), fps, config.web.blur))
        cleanup.callback(files[-1].close)
    if source is not None and not is_camera and _shows_progress(config):
        from fer_edge.sinks.progress import ProgressSink

        files.append(ProgressSink(source.length))
        cleanup.callback(files[-1].close)
    if is_camera:
        files = [QueuedSink(sink) for sink in files]
        for sink in files:
            cleanup.callback(sink.close)
    return files


def _shows_progress(config: Config) -> bool:
    """On a terminal, unless the readings are written to it as well."""
    is_mixed = "-" in (config.jsonl.path, config.csv.path) and os.isatty(STDOUT)
    return sys.stderr is not None and sys.stderr.isatty() and not is_mixed


def _inputs(config: Config, uri: SourceUri | None, bundle: Bundle, file: Path | None) -> Iterator[Path | str]:
    names = "" if uri is None else SCHEMES[uri.scheme].names
    if uri is not None and names in ("file", "device"):
        yield uri.path
    elif uri is not None and names == "folder":
        yield from _photos(Path(uri.path))
    if file is not None:
        yield file
    for key in keys():  # secrets and the like
        if key.name.endswith("_file"):
            yield getattr(getattr(config, key.table), key.name) or ""
    yield from (path for path in bundle.path.rglob("*") if path.is_file())


def _photos(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        from fer_edge.pictures.files import list_photos  # a clip needs no picture formats

        yield from list_photos(folder).paths
