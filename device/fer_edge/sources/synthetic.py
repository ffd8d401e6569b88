"""Drawn faces, for machines without a camera: schematic, but the real detector finds them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import cv2
import numpy as np

from fer_edge.errors import SourceError
from fer_edge.sources.uri import SourceUri
from fer_edge.types import Frame, FrameSource, RgbImage

SKIN, LIP, IRIS, HAIR = (222, 178, 150), (170, 80, 80), (60, 40, 30), (60, 42, 34)


class SyntheticSource(FrameSource):
    """Faces that drift and smile by turns. Options: width, height, fps, n (frames; endless without), faces, seed.

    Args:
        uri: ``synthetic://?n=100&faces=2``.
        realtime: pace frames by ``fps``.
        rate: pace them by this instead.

    Raises:
        SourceError: options that do not go together.
    """

    width: int
    height: int
    n: int | None
    faces: int
    name: str

    def __init__(self, uri: SourceUri, realtime: bool = False, rate: float | None = None) -> None:
        options = uri.options
        self.width, self.height = options.get("width", 640), options.get("height", 480)
        self.fps: float = rate or options.get("fps", 30)
        self.n, self.faces = options.get("n"), options.get("faces", 1)
        if min(self.width, self.height) < 64 or max(self.width, self.height) > 4096 or self.faces > 4:
            raise SourceError(f"source {uri.text}: expected 64 to 4096 px a side and at most 4 faces")
        self.name, self._realtime, self._closed = uri.text, realtime or rate is not None, False
        self._phase = np.random.default_rng(options.get("seed", 1)).uniform(0, 2 * math.pi, (self.faces, 3))

    @property
    def length(self) -> int | None:
        """As asked for; None without an end."""
        return self.n

    @property
    def nominal_fps(self) -> float:
        """Of the drawing."""
        return self.fps

    def __iter__(self) -> Iterator[Frame]:
        """Drawn frames; the same options give the same pictures."""
        started, index = time.monotonic(), 0
        while not self._closed and (self.n is None or index < self.n):
            if self._realtime:
                time.sleep(max(0.0, started + index / self.fps - time.monotonic()))
            image, t_s = self.draw(index), index / self.fps
            yield Frame(image, index, time.monotonic(), self.name, t_media_s=t_s, can_be_late=self._realtime)
            index += 1

    def draw(self, index: int) -> RgbImage:
        """Frame ``index`` as (height, width, 3) RGB uint8."""
        shade = np.linspace(150, 200, self.height, dtype=np.float32)[:, None, None]
        image = np.broadcast_to(shade, (self.height, self.width, 3)).astype(np.uint8).copy()
        t = index / self.fps
        cell = self.width / self.faces
        size = min(cell * 0.36, self.height * 0.36)
        for k, (a, b, c) in enumerate(self._phase):
            x = cell * (k + 0.5) + 0.08 * cell * math.sin(0.7 * t + a)
            y = self.height * (0.5 + 0.05 * math.sin(0.9 * t + b))
            draw_face(image, x, y, size, smile=math.sin(0.5 * t + c))
        return np.asarray(cv2.GaussianBlur(image, (0, 0), max(0.8, size / 90)), dtype=np.uint8)

    def close(self) -> None:
        """Ends the iteration at the next frame."""
        self._closed = True


def draw_face(image: RgbImage, x: float, y: float, size: float, smile: float) -> None:
    """Draws a face in place.

    Args:
        image: (h, w, 3) RGB uint8.
        x: center in px.
        y: center in px.
        size: half the height of the head in px.
        smile: -1 (mouth corners down) to 1 (up).
    """

    def at(dx: float, dy: float) -> tuple[int, int]:
        return round(x + dx * size), round(y + dy * size)

    def axes(width: float, height: float) -> tuple[int, int]:
        return max(1, round(width * size)), max(1, round(height * size))

    line = max(1, round(0.05 * size))
    dark = tuple(int(0.78 * value) for value in SKIN)
    cv2.ellipse(image, at(0, -0.18), axes(0.84, 0.98), 0, 0, 360, HAIR, -1, cv2.LINE_AA)
    cv2.ellipse(image, at(0, 0.9), axes(0.42, 0.4), 0, 0, 360, dark, -1, cv2.LINE_AA)
    cv2.ellipse(image, at(0, 0.05), axes(0.72, 0.95), 0, 0, 360, SKIN, -1, cv2.LINE_AA)
    for side in (-1, 1):
        cv2.ellipse(image, at(side * 0.3, -0.1), axes(0.19, 0.12), 0, 0, 360, dark, -1, cv2.LINE_AA)
        cv2.ellipse(image, at(side * 0.3, -0.1), axes(0.15, 0.08), 0, 0, 360, (250, 250, 250), -1, cv2.LINE_AA)
        cv2.circle(image, at(side * 0.3, -0.1), axes(0.075, 0)[0], IRIS, -1, cv2.LINE_AA)
        cv2.ellipse(image, at(side * 0.3, -0.28), axes(0.22, 0.08), 0, 190, 350, HAIR, line, cv2.LINE_AA)
    cv2.ellipse(image, at(0, 0.2), axes(0.13, 0.07), 0, 20, 160, dark, line, cv2.LINE_AA)
    cv2.line(image, at(-0.05, -0.08), at(-0.07, 0.2), dark, line, cv2.LINE_AA)
    bend = 0.16 * smile
    mouth = [at(dx, 0.5 + bend * (0.5 - (dx / 0.32) ** 2)) for dx in np.linspace(-0.32, 0.32, 15)]
    cv2.polylines(image, [np.array(mouth, dtype=np.int32)], False, LIP, max(2, 2 * line), cv2.LINE_AA)
