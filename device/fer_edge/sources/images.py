"""A folder of photos as a source, in natural order; what cannot be read is skipped, said and counted."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from fer_edge.contract.names import shown
from fer_edge.errors import ImageError, SourceError
from fer_edge.pictures.files import list_photos
from fer_edge.pictures.formats import SUFFIXES
from fer_edge.pictures.photo import read_photo
from fer_edge.sources.uri import SourceUri
from fer_edge.types import Frame, FrameSource

log = logging.getLogger(__name__)


class ImagesSource(FrameSource):
    """Photos of a folder; large ones are scaled as ``fer-edge image`` scales them.

    Raises:
        SourceError: no such folder, or no photo in it.
    """

    paths: tuple[Path, ...]
    name: str

    def __init__(self, uri: SourceUri) -> None:
        folder = Path(uri.path)
        if not folder.is_dir():
            raise SourceError(f"source {uri.text}: no such folder; expected one with photos")
        try:
            found = list_photos(folder)
        except ImageError as error:
            raise SourceError(f"source {uri.text}: {error}") from error
        self.paths = found.paths
        if not self.paths:
            expected = found.skipped_words("; ") or f"; expected files that end in {', '.join(SUFFIXES)}"
            raise SourceError(f"source {uri.text}: no photos in it{expected}")
        if found.skipped:
            log.warning("source %s: %s", uri.text, found.skipped_words())
        self.name, self._dropped, self._closed = uri.text, found.n_pictures_skipped, False

    @property
    def dropped(self) -> int:
        """Photos that could not be read, and pictures in formats that are not."""
        return self._dropped

    def __iter__(self) -> Iterator[Frame]:
        """One frame a photo; ``source`` is the photo's path, ``index`` its place among the folder's photos."""
        for index, path in enumerate(self.paths):
            if self._closed:
                return
            try:
                photo = read_photo(path, take_damaged=True)
            except ImageError as error:
                self._dropped += 1
                log.warning("skipped: %s", error)
                continue
            if photo.flaw:
                log.warning("photo %s: damaged (%s); what is left was read", shown(path), photo.flaw)
            yield photo.frame(index, str(path))

    def close(self) -> None:
        """Ends the iteration at the next photo."""
        self._closed = True
