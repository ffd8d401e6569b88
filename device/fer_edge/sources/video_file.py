"""Clips: every frame in order, or at the clip's own speed with late frames dropped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fer_edge.errors import SourceError
from fer_edge.sources.decoder import BgrImage, Decoder
from fer_edge.sources.uri import SourceUri
from fer_edge.types import Frame


class VideoFileSource:
    """A video file.

    Args:
        uri: ``file://path``.
        realtime: pace frames by the clip's rate; frames whose time has passed are dropped and counted in ``dropped``.
        loop: begin again at the end.
        rate: pace frames by this many per second instead.

    Raises:
        SourceError: no such file, or not a video.
    """

    def __init__(self, uri: SourceUri, realtime: bool = False, loop: bool = False, rate: float | None = None) -> None:
        self._path = Path(uri.path)
        if not self._path.is_file():
            raise SourceError(
                f"source {self._path}: no such file; expected a video, or images:// for a folder of photos"
            )
        self.name, self.dropped = uri.text, 0
        self._realtime, self._loop, self._closed = realtime or rate is not None, loop, False
        self._decoder, self._first = self._open()
        self._corrupt = 0  # of rounds that are over
        self.fps = rate or self._decoder.fps or 25.0

    @property
    def corrupt(self) -> int:
        """Frames that could not be decoded."""
        return self._corrupt + self._decoder.corrupt

    def _open(self) -> tuple[Decoder, BgrImage]:
        decoder = Decoder(str(self._path))
        first = decoder.read() if decoder.is_open else None
        if first is None:
            decoder.close()
            raise SourceError(
                f"source {self._path}: no frame can be read from it; expected a video such as .mp4 or .avi"
            )
        return decoder, first

    def __iter__(self) -> Iterator[Frame]:
        """Frames with their number (it goes on where the clip begins again); ``t_capture_s``: when each was read.

        Raises:
            SourceError: looping, and the file has gone.
        """
        started, index, picture = time.monotonic(), 0, self._first
        try:
            while not self._closed:
                due = started + index / self.fps
                late = time.monotonic() - due
                if self._realtime and late > 1 / self.fps:
                    self.dropped += 1
                else:
                    if self._realtime and late < 0:
                        time.sleep(-late)
                    image = np.ascontiguousarray(picture[:, :, ::-1])
                    yield Frame(image, index, time.monotonic(), self.name, t_media_s=index / self.fps)
                index += 1
                following = None if self._closed else self._decoder.read()
                if following is not None:
                    picture = following
                elif self._loop and not self._closed:
                    self._decoder.close()
                    self._corrupt += self._decoder.corrupt
                    self._decoder, picture = self._open()  # seeking to the start is not exact with every codec
                else:
                    break
        finally:
            self._decoder.close()

    def close(self) -> None:
        """Ends the iteration at the next frame."""
        self._closed = True
