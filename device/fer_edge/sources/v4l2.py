"""A V4L2 camera by its path, through OpenCV."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from fer_edge.errors import SourceError
from fer_edge.sources.uri import SourceUri
from fer_edge.types import Frame

FIRST_FRAME_S = 5.0


class V4l2Source:
    """A camera; success is its first good frame, not that the device opens.

    Raises:
        SourceError: no such device, or no frame within ``FIRST_FRAME_S``.
    """

    def __init__(self, uri: SourceUri) -> None:
        path = Path(uri.path)
        if not path.exists():
            found = ", ".join(str(p) for p in sorted(Path("/dev").glob("video*"))) or "no /dev/video*"
            raise SourceError(f"source {uri.text}: no such device (found {found}); plug the camera in or name another")
        self.name, self.dropped, self._closed = uri.text, 0, False
        # by number where the name has one: OpenCV refuses some device names that it opens by number
        number = re.fullmatch(r"/dev/video(\d+)", str(path.resolve()))
        self._capture = cv2.VideoCapture(int(number[1]) if number else str(path), cv2.CAP_V4L2)
        capture = self._capture
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))  # before the size, which depends on it
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, uri.options.get("width", 640))
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, uri.options.get("height", 480))
        capture.set(cv2.CAP_PROP_FPS, uri.options.get("fps", 30))
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        until = time.monotonic() + FIRST_FRAME_S
        while not capture.read()[0]:
            if time.monotonic() > until or not capture.isOpened():
                capture.release()
                raise SourceError(
                    f"source {uri.text}: opened without a frame in {FIRST_FRAME_S:g} s; "
                    "another program may hold it, or your user is not in the group video"
                )
            time.sleep(0.05)

    def __iter__(self) -> Iterator[Frame]:
        """Frames as they come; raises SourceError when the camera is lost."""
        index = 0
        while not self._closed:
            ok, picture = self._capture.read()
            captured = time.monotonic()
            if not ok or picture is None:
                self._capture.release()
                raise SourceError(f"source {self.name}: the camera stopped after {index} frames; check its cable")
            yield Frame(np.ascontiguousarray(picture[:, :, ::-1]), index, captured, self.name)
            index += 1
        self._capture.release()

    def close(self) -> None:
        """Ends the iteration at the next frame."""
        self._closed = True
