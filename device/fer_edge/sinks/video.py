"""Annotated video: a clip's pictures with boxes and labels, each at its own time, playable in a browser.

Written by PyAV (FFmpeg's libraries): OpenCV's writer knows no time stamps, and its wheels hold no H.264 encoder.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fer_edge.contract.whole import unfinished_file
from fer_edge.errors import UsageError
from fer_edge.pictures.annotate import annotate, blur_faces
from fer_edge.pictures.recent import RecentFaces
from fer_edge.types import FrameReading, RgbImage, Status

TICKS_HZ = 90_000  # MPEG's clock: a microsecond's rounding is below it
WEBM_FPS = 240  # is written as what a frame lasts; Chromium goes by it, so that no frame may follow sooner
KEY_EVERY_S = 2.0  # a player can start at so many places
# what cvtColor makes: ITU-R BT.601, limited range; said in the file, or a player takes high pictures for BT.709
COLORS = {"colorspace": "smpte170m", "color_primaries": "smpte170m", "color_trc": "smpte170m", "color_range": "tv"}
H264 = ("libx264", {"preset": "veryfast", "crf": "23", "bf": "0", "rc-lookahead": "10"})
VP9 = ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "crf": "32", "b": "0"})
# container by suffix: the encoders in order of preference; every pair plays in Chromium (tests/device/test_video.py)
ENCODERS = {".mp4": (H264, VP9), ".webm": (VP9,)}
OPTIONS = {".mp4": {"movflags": "faststart"}, ".webm": {}}


class VideoSink:
    """Writes each frame's picture, annotated, at the frame's place in the clip; the first one is at 0.

    The file appears under its name once it is complete; a run that is ended early leaves what was read so far.

    Args:
        path: ends in .mp4 (H.264; VP9 where there is no encoder for it) or .webm (VP9).
        fps: about, of the clip, 0 where unknown; for key frames and the last picture's duration.
        blur: make faces unrecognizable.

    Raises:
        UsageError: PyAV or its encoders are not there, or a place that cannot be written.
    """

    name = "annotate"
    dropped = 0

    def __init__(self, path: Path, fps: float, blur: bool = False) -> None:
        self._path, self._fps = path, fps if fps > 0 else 25.0
        self._recent = RecentFaces() if blur else None
        self._codec, self._options = _encoder(path)
        self._container: Any = None
        self._stream: Any = None
        self._size_hw = (0, 0)
        self._zero_s, self._last_ticks, self._failed = 0.0, -1, False
        with self._said():
            self._unfinished = unfinished_file(path)
            try:
                self._container = _av().open(
                    str(self._unfinished), "w", format=path.suffix.lower()[1:], options=OPTIONS[path.suffix.lower()]
                )
            except BaseException:
                self._unfinished.unlink(missing_ok=True)
                raise

    def publish(self, reading: FrameReading) -> None:
        """Encodes one picture.

        Raises:
            UsageError: it cannot be written, e.g. because the disk is full.
        """
        frame = reading.frame
        image = frame.image
        if self._recent is not None:
            self._recent.add(frame.t_s, reading.all_faces)
            image = blur_faces(image, self._recent.faces())
        image = annotate(image, reading.faces, blur=self._recent is not None)
        with self._said():
            if self._stream is None:
                self._zero_s = frame.t_s
                self._begin(image)
            picture = _av().VideoFrame.from_ndarray(_yuv(fitted(image, self._size_hw)), format="yuv420p")
            ticks = max(round((frame.t_s - self._zero_s) * TICKS_HZ), self._last_ticks + 1)
            self._last_ticks = picture.pts = ticks
            picture.time_base = Fraction(1, TICKS_HZ)
            self._container.mux(self._stream.encode(picture))

    def status(self, status: Status) -> None:
        """Nothing of it is shown."""

    def close(self) -> None:
        """Completes the file; safe to call twice. Without a frame, or after an error, there is none.

        Raises:
            UsageError: it cannot be completed.
        """
        container, self._container = self._container, None
        if container is None:
            return
        try:
            if self._stream is None or self._failed:
                with contextlib.suppress(Exception):  # what it cannot finish is thrown away
                    container.close()
                return
            with self._said():
                container.mux(self._stream.encode(None))
                container.close()
                os.replace(self._unfinished, self._path)
        finally:
            self._unfinished.unlink(missing_ok=True)

    def _begin(self, image: RgbImage) -> None:
        height, width = image.shape[:2]
        self._size_hw = (height + height % 2, width + width % 2)  # H.264 halves the colors' resolution
        is_webm = self._path.suffix.lower() == ".webm"
        rate = WEBM_FPS if is_webm else Fraction(self._fps).limit_denominator(1001)
        stream = self._container.add_stream(self._codec, rate=rate)
        stream.height, stream.width = self._size_hw
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS_HZ)
        stream.codec_context.gop_size = max(1, round(KEY_EVERY_S * self._fps))
        stream.codec_context.thread_count = min(4, os.cpu_count() or 1)
        stream.options = {**self._options, **COLORS}
        self._stream = stream

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """FFmpeg's errors as ours, in one line."""
        try:
            yield
        except (_av().error.FFmpegError, OSError, ValueError) as error:
            self._failed = True
            why = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"--annotate {self._path}: {why}; expected a place that can be written") from error


def fitted(image: RgbImage, size_hw: tuple[int, int]) -> RgbImage:
    """A picture in the video's size: as it is, with a row or column repeated, or scaled down between black bars.

    Args:
        image: (h, w, 3) RGB uint8; its size may change within a clip.
        size_hw: of the video.
    """
    (height, width), (to_height, to_width) = image.shape[:2], size_hw
    if (height, width) == (to_height, to_width):
        return image
    if to_height - height in (0, 1) and to_width - width in (0, 1):
        edge = cv2.copyMakeBorder(image, 0, to_height - height, 0, to_width - width, cv2.BORDER_REPLICATE)
        return np.asarray(edge, dtype=np.uint8)
    by = min(to_height / height, to_width / width)
    h, w = max(1, round(height * by)), max(1, round(width * by))
    out = np.zeros((to_height, to_width, 3), dtype=np.uint8)
    top, left = (to_height - h) // 2, (to_width - w) // 2
    out[top : top + h, left : left + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    return out


def _yuv(image: RgbImage) -> Any:
    """RGB (h, w, 3) as planar YUV 4:2:0 (h * 3 / 2, w), BT.601."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)


def _encoder(path: Path) -> tuple[str, dict[str, str]]:
    suffix, av = path.suffix.lower(), _av()
    for name, options in ENCODERS[suffix]:
        with contextlib.suppress(ValueError):  # UnknownCodecError is one
            av.Codec(name, "w")
            return name, dict(options)
    wanted = " or ".join(name for name, _ in ENCODERS[suffix])
    raise UsageError(f"--annotate {path}: this PyAV has no {wanted}; pip install av")


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise UsageError(
            f"--annotate: PyAV does not load ({error}); pip install 'fer-edge[video]', or apt install python3-av"
        ) from error
    return av
