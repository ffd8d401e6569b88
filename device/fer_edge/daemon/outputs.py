"""The files that a run writes, none of which may be one that it reads; and the sinks that must get every reading."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from fer_edge.config import Config, keys
from fer_edge.contract.bundle import Bundle
from fer_edge.contract.outputs import clash
from fer_edge.errors import UsageError
from fer_edge.pictures.files import list_photos
from fer_edge.sinks.csv_file import CsvSink
from fer_edge.sinks.fanout import QueuedSink
from fer_edge.sinks.jsonl import JsonlSink
from fer_edge.sources import SourceUri
from fer_edge.types import Sink


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
    outputs = {"--jsonl": config.jsonl.path, "--csv": config.csv.path}
    problem = clash(outputs, _inputs(config, uri, bundle, file))
    if problem:
        raise UsageError(problem)


def open_files(config: Config, bundle: Bundle, opened: contextlib.ExitStack, is_camera: bool) -> list[Sink]:
    """The sinks that write files: of a camera behind a queue each; of a clip raising, since they must be complete.

    Args:
        config: of the run.
        bundle: names the labels.
        opened: closes them.
        is_camera: a frame is worth more than a line.

    Raises:
        UsageError: a file cannot be written.
    """
    files: list[Sink] = []
    if config.jsonl.path:
        files.append(JsonlSink(config.jsonl.path, strict=not is_camera))
        opened.callback(files[-1].close)
    if config.csv.path:
        files.append(CsvSink(config.csv.path, bundle.manifest.labels, strict=not is_camera))
        opened.callback(files[-1].close)
    if is_camera:
        files = [QueuedSink(sink) for sink in files]
        for sink in files:
            opened.callback(sink.close)
    return files


def _inputs(config: Config, uri: SourceUri | None, bundle: Bundle, file: Path | None) -> Iterator[Path | str]:
    if uri is not None and uri.scheme in ("file", "v4l2"):
        yield uri.path
    elif uri is not None and uri.scheme == "images":
        yield from _photos(Path(uri.path))
    if file is not None:
        yield file
    for key in keys():  # secrets and the like
        if key.name.endswith("_file"):
            yield getattr(getattr(config, key.table), key.name) or ""
    yield from (path for path in bundle.path.rglob("*") if path.is_file())


def _photos(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from list_photos(folder).paths
