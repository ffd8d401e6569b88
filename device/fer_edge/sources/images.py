"""A folder of photos as a source, sorted by name; unreadable ones are skipped, said and counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

from fer_edge.errors import ImageError, SourceError
from fer_edge.pictures.photo import read_photo
from fer_edge.sources.uri import SourceUri, printable
from fer_edge.types import Frame, FrameSource

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
log = logging.getLogger(__name__)


class ImagesSource(FrameSource):
    """Photos of a folder; large ones are scaled as ``fer-edge image`` scales them.

    Raises:
        SourceError: no such folder, or no photo in it.
    """

    def __init__(self, uri: SourceUri) -> None:
        folder = Path(uri.path)
        if not folder.is_dir():
            raise SourceError(f"source {uri.text}: no such folder; expected one with photos")
        self.paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        if not self.paths:
            raise SourceError(f"source {uri.text}: no photos in it; expected files that end in {', '.join(SUFFIXES)}")
        self.name, self._dropped, self._closed = uri.text, 0, False

    @property
    def dropped(self) -> int:
        """Photos that could not be read."""
        return self._dropped

    def __iter__(self) -> Iterator[Frame]:
        """One frame a photo; ``source`` is the photo's path, ``index`` its place in the sorted folder."""
        for index, path in enumerate(self.paths):
            if self._closed:
                return
            try:
                photo = read_photo(path)
            except ImageError as error:
                self._dropped += 1
                log.warning("skipped: %s", error)
                continue
            yield Frame(photo.image, index, time.monotonic(), printable(str(path)), photo.scale, photo.original_hw)

    def close(self) -> None:
        """Ends the iteration at the next photo."""
        self._closed = True
