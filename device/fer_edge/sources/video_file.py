"""Clips: every frame in order, or at the clip's own speed with late frames dropped."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from fer_edge.contract.bounds import GAP_S as LONGEST_GAP_S
from fer_edge.errors import SourceError
from fer_edge.sources.container import Container, describe, why_cut
from fer_edge.sources.decoder import UNKNOWN_FPS, Decoded, Decoder
from fer_edge.sources.mailbox import LONGEST_WAIT_S
from fer_edge.sources.opencv import rgb_of
from fer_edge.sources.upright import from_options, then
from fer_edge.sources.uri import Playback, SourceUri
from fer_edge.types import Frame, FrameSource


class VideoFileSource(FrameSource):
    """A video file, upright as its container says.

    Args:
        uri: ``file://path``.
        play: frames that are paced, by the clip's own times or a rate, are dropped and counted in ``dropped`` where
            their time has passed; those that were not asked for are not counted.

    Raises:
        SourceError: no such file, or not a video.
    """

    fps: float
    name: str

    def __init__(self, uri: SourceUri, play: Playback) -> None:
        self._path = Path(uri.path)
        if not self._path.is_file():
            raise SourceError(f"source {uri.text}: no such file; expected a video, or images:// for a folder of photos")
        self.name, self._dropped, self._incomplete = uri.text, 0, ""
        self._play, self._closed = play, False
        self._turn = from_options(uri.options, uri.text)
        self._container = self._described()
        self._first: Decoded | None
        self._decoder, self._first = self._open()
        self._corrupt = 0  # of rounds that are over
        self.fps = play.rate or self._decoder.fps or UNKNOWN_FPS

    @property
    def dropped(self) -> int:
        """Frames whose time had passed."""
        return self._dropped

    @property
    def incomplete(self) -> str:
        """Why the clip ended before its end; "" until it does."""
        return self._incomplete

    @property
    def length(self) -> int | None:
        """As announced, up to ``to_s``; None where it loops."""
        length = self._container.frames or self._decoder.announced
        if self._play.to_s is not None:
            length = min(length, round(self._play.to_s * (self._decoder.fps or UNKNOWN_FPS)))
        return None if self._play.loop or not length else length

    @property
    def nominal_fps(self) -> float:
        """Of the frames that are read."""
        return self._decoder.fps / self._play.every

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
            SourceError: looping, and the file has gone; or nothing lies in the part that was asked for.
        """
        play, due_s, last_s, any_yet = self._play, 0.0, 0.0, False
        period_s = 1 / self.fps if play.rate else play.every / self.fps
        try:
            for index, t_s, decoded in self._wanted():
                if not any_yet:
                    due_s, any_yet = time.monotonic(), True
                else:
                    due_s += 1 / play.rate if play.rate else min(t_s - last_s, LONGEST_GAP_S * play.every)
                last_s = t_s
                if play.is_paced and time.monotonic() - due_s > period_s:
                    self._dropped += 1
                    continue
                self._wait(due_s)
                now_s = time.monotonic()
                damaged = True if decoded.damaged else None
                image, late = rgb_of(decoded.image, in_place=True), play.is_paced
                yield Frame(image, index, now_s, self.name, t_media_s=t_s, damaged=damaged, can_be_late=late)
                del decoded, image  # before the next one is made
            if not any_yet and not self._closed:
                end = f"it ends at {self._decoder.stamps.end_s:.2f} s"
                why = f" ({self._incomplete})" if self._incomplete else ""
                raise SourceError(f"source {self.name}: no frame from {play.from_s or 0:g} s on; {end}{why}")
        finally:
            self._decoder.close()

    def _wanted(self) -> Iterator[tuple[int, float, Decoded]]:
        """(number, place, picture) of the frames that were asked for, round after round where the clip loops."""
        play, index, before_s, n = self._play, 0, 0.0, 0  # before_s: of the rounds that are over
        decoded: Decoded | None = self._first
        self._first = None
        while decoded is not None and not self._closed:
            is_over = play.to_s is not None and decoded.t_s >= play.to_s
            if not is_over and decoded.t_s >= (play.from_s or 0.0):
                if n % play.every == 0:
                    yield index, before_s + decoded.t_s, decoded
                n += 1
            index += 1
            decoded = None
            if not (is_over or self._closed):
                decoded = self._decoder.read()
            if decoded is None and not self._closed:
                if not is_over:
                    self._incomplete = self._incomplete or self._why_incomplete()
                if play.loop and n:
                    before_s += self._decoder.stamps.end_s
                    decoded = self._again()

    def _again(self) -> Decoded:
        """The first frame again: seeking to the start is not exact with every codec."""
        self._decoder.close()
        self._corrupt += self._decoder.corrupt
        self._decoder, first = self._open()
        return first

    def _wait(self, due_s: float) -> None:
        while self._play.is_paced and not self._closed and (left_s := due_s - time.monotonic()) > 0:
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
