"""A network camera: ``rtsp://user:password@host/path`` through OpenCV's FFmpeg, over TCP, with timeouts."""

from __future__ import annotations

import time

import cv2

from fer_edge.contract.bounds import FROZEN_S, OPEN_S, READ_S
from fer_edge.errors import SourceError
from fer_edge.sources.decoder import Decoder
from fer_edge.sources.live import Camera, LiveSource
from fer_edge.sources.opencv import rgb_of, rtsp_over_tcp
from fer_edge.sources.uri import SourceUri
from fer_edge.types import RgbImage


class RtspCamera(Camera):
    """A stream that is drained as fast as it comes, so that the newest frame is never an old one.

    Args:
        name: of the source, for messages; without the password.
        url: with it.
    """

    name: str
    url: str
    description: str
    corrupt: int

    def __init__(self, name: str, url: str) -> None:
        self.name, self.url, self.description = name, url, ""
        self._decoder: Decoder | None = None
        self._frames = 0
        self._seen, self._changed_at_s = b"", 0.0

    def open(self) -> None:
        """Connects; LiveSource then reads the first frame."""
        timeouts = (
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(OPEN_S * 1000)),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(READ_S * 1000)),
        )
        started = time.monotonic()
        with rtsp_over_tcp():
            self._decoder = Decoder(self.url, timeouts, patience_s=READ_S * 0.9)
        if not self._decoder.is_open:
            slow = time.monotonic() - started >= OPEN_S * 0.9
            why = f"no answer in {OPEN_S:g} s" if slow else "refused, or no stream there"
            raise SourceError(
                f"source {self.name}: {why}; check address, path, user and password (is it reachable from here?)"
            )
        self.description = f"RTSP at {self._decoder.fps:g} fps"
        self._changed_at_s = time.monotonic()

    def read(self) -> tuple[RgbImage, float]:
        """The next frame, and when it was decoded here: the camera's own clock says nothing on this machine.

        A picture in which nothing at all changes is no live one: an encoder that hangs, or a new resolution, from
        which OpenCV makes the old picture again and again.
        """
        assert self._decoder is not None
        decoded = self._decoder.read()
        self.corrupt = self._decoder.corrupt
        if decoded is None:
            raise SourceError(f"source {self.name}: the stream broke off after {self._frames} frames")
        self._frames += 1
        picture, now_s = decoded.image, time.monotonic()
        seen = picture[::4, ::4].tobytes()
        if seen != self._seen:
            self._seen, self._changed_at_s = seen, now_s
        elif now_s - self._changed_at_s > FROZEN_S:
            raise SourceError(f"source {self.name}: the picture is frozen for {FROZEN_S:g} s; restart the camera")
        return rgb_of(picture), now_s

    def close(self) -> None:
        """Ends the session."""
        if self._decoder is not None:
            self._decoder.close()


def rtsp_source(uri: SourceUri) -> LiveSource:
    """Opens ``rtsp://…``.

    Raises:
        SourceError: nobody there, refused, or no frame.
    """
    return LiveSource(RtspCamera(uri.text, uri.path), uri.text, first_frame_s=OPEN_S + 2 * READ_S)
