"""Clips: every frame in order, or at the clip's own speed with late frames dropped."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fer_edge.errors import SourceError
from fer_edge.sources.container import Container, describe, why_cut
from fer_edge.sources.decoder import UNKNOWN_FPS, Decoded, Decoder
from fer_edge.sources.mailbox import LONGEST_WAIT_S
from fer_edge.sources.upright import from_options, then
from fer_edge.sources.uri import SourceUri
from fer_edge.types import Frame, FrameSource

LONGEST_GAP_S = 10.0  # between two frames, in real time: a recorder's pause is not waited for


class VideoFileSource(FrameSource):
    """A video file, upright as its container says.

    Args:
        uri: ``file://path``.
        realtime: pace frames by the clip's own times; frames whose time has passed are dropped and counted in
            ``dropped``.
        loop: begin again at the end.
        rate: pace frames by this many per second instead.

    Raises:
        SourceError: no such file, or not a video.
    """

    def __init__(self, uri: SourceUri, realtime: bool = False, loop: bool = False, rate: float | None = None) -> None:
        self._path = Path(uri.path)
        if not self._path.is_file():
            raise SourceError(f"source {uri.text}: no such file; expected a video, or images:// for a folder of photos")
        self.name, self._dropped, self._incomplete = uri.text, 0, ""
        self._realtime, self._loop, self._rate, self._closed = realtime or rate is not None, loop, rate, False
        self._turn = from_options(uri.options, uri.text)
        self._container = self._described()
        self._decoder, self._first = self._open()
        self._corrupt = 0  # of rounds that are over
        self.fps = rate or self._decoder.fps or UNKNOWN_FPS

    @property
    def dropped(self) -> int:
        """Frames whose time had passed."""
        return self._dropped

    @property
    def incomplete(self) -> str:
        """Why the clip ended before its end; "" until it does."""
        return self._incomplete

    @property
    def corrupt(self) -> int:
        """Frames that could not be decoded."""
        return self._corrupt + self._decoder.corrupt

    def _described(self) -> Container:
        try:
            return describe(self._path)
        except OSError as error:
            raise SourceError(f"source {self.name}: {error.strerror}; expected a readable video") from error

    def _open(self) -> tuple[Decoder, Decoded]:
        orientation = then(self._container.orientation, self._turn)
        try:
            with _openable(self._path) as place:
                decoder = Decoder(place, orientation=orientation, is_file=True)
        except OSError as error:
            raise SourceError(f"source {self.name}: {error.strerror}; expected a readable video") from error
        first = decoder.read() if decoder.is_open else None
        if first is None:
            codec = f"codec {decoder.codec}" if decoder.is_open and decoder.codec else ""
            decoder.close()
            why = self._why_cut() or codec
            raise SourceError(
                f"source {self.name}: no frame can be read from it{f' ({why})' if why else ''}; "
                "expected a video such as .mp4 or .avi"
            )
        return decoder, first

    def __iter__(self) -> Iterator[Frame]:
        """Frames with their number; ``t_capture_s``: when each was read; ``t_media_s``: s from the clip's first frame.

        Where the clip begins again, number and ``t_media_s`` go on.

        Raises:
            SourceError: looping, and the file has gone.
        """
        due_s, index, decoded = time.monotonic(), 0, self._first
        before_s = at_s = 0.0  # the rounds that are over; the last frame's place
        try:
            while not self._closed:
                t_s = before_s + decoded.t_s
                if index:
                    due_s += 1 / self._rate if self._rate else min(t_s - at_s, LONGEST_GAP_S)
                at_s = t_s
                if self._realtime and time.monotonic() - due_s > 1 / self.fps:
                    self._dropped += 1
                else:
                    self._wait(due_s)
                    yield Frame(
                        _rgb(decoded), index, time.monotonic(), self.name, t_media_s=t_s, can_be_late=self._realtime
                    )
                index += 1
                following = None if self._closed else self._decoder.read()
                if following is None and not self._closed:
                    self._incomplete = self._incomplete or self._why_incomplete()
                    if self._loop:
                        before_s += self._decoder.stamps.end_s
                        following = self._again()
                if following is None:
                    break
                decoded = following
        finally:
            self._decoder.close()

    def _again(self) -> Decoded:
        """The first frame again: seeking to the start is not exact with every codec."""
        self._decoder.close()
        self._corrupt += self._decoder.corrupt
        self._decoder, first = self._open()
        return first

    def _wait(self, due_s: float) -> None:
        while self._realtime and not self._closed and (left_s := due_s - time.monotonic()) > 0:
            time.sleep(min(left_s, LONGEST_WAIT_S))

    def _why_incomplete(self) -> str:
        """What the file announced and did not hold, once it was read to its end; empty where it is whole."""
        decoder, exact, cut = self._decoder, self._container.frames, self._why_cut()
        announced = exact or (decoder.announced if cut else 0)
        missing = announced - decoder.read_frames - decoder.corrupt
        never_came = f"{missing} of {announced} announced frames never came" if missing > 0 else ""
        return "; ".join(part for part in (cut, never_came) if part)

    def _why_cut(self) -> str:
        try:
            cut = why_cut(self._path)
        except OSError:
            cut = "the file has gone"
        return f"cut off: {cut}" if cut else ""

    def close(self) -> None:
        """Ends the iteration at the next frame."""
        self._closed = True


class _openable:  # noqa: N801  # used as `with _openable(…):`
    """A name under which OpenCV opens a file: one that is not UTF-8 crashes it (4.11), so such a file is opened here.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._number = path, -1

    def __enter__(self) -> str:
        try:
            str(self._path).encode()
        except UnicodeEncodeError:
            self._number = os.open(self._path, os.O_RDONLY)
            return f"/proc/self/fd/{self._number}"
        return str(self._path)

    def __exit__(self, *_: object) -> None:
        if self._number >= 0:
            os.close(self._number)


def _rgb(decoded: Decoded) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.ascontiguousarray(decoded.image[:, :, ::-1])
