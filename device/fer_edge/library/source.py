"""Sources for a program: the same URIs as the command's, in a ``with``."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterator
from types import TracebackType

from fer_edge.board.camera_nodes import camera_nodes
from fer_edge.errors import SourceError
from fer_edge.sources import SCHEMES, Playback, opener, parse_uri
from fer_edge.sources.reconnect import ReconnectingSource
from fer_edge.types import Frame, FrameSource

log = logging.getLogger(__name__)


class Frames:
    """The frames of one source, once from its start to its end; see ``open_source``.

    ``close`` may be called from any thread, and ends a loop that waits for a frame.
    """

    def __init__(self, source: FrameSource, *, can_wait: bool, tracks_faces: bool) -> None:
        self._source = source
        self._iterator: Iterator[Frame] | None = None
        self._can_wait, self._tracks_faces = can_wait, tracks_faces

    @property
    def name(self) -> str:
        """The source's URI, without a password."""
        return self._source.name

    @property
    def description(self) -> str:
        """What was negotiated with a camera, for people; "" where there was nothing to negotiate."""
        return self._source.description

    @property
    def can_wait(self) -> bool:
        """The frames are there whenever they are read, as a clip's are: time enough to look for small faces too."""
        return self._can_wait

    @property
    def tracks_faces(self) -> bool:
        """The frames follow one another; in a folder of photos they do not."""
        return self._tracks_faces

    @property
    def dropped(self) -> int:
        """Frames that were there and came too late, or could not be read."""
        return self._source.dropped

    @property
    def reconnects(self) -> int:
        """Times that a camera was lost and came back."""
        return self._source.reconnects

    @property
    def incomplete(self) -> str:
        """Why a clip ended before its end, as a line for people; "" where it did not."""
        return self._source.incomplete

    def __iter__(self) -> Iterator[Frame]:
        """The frames; a second loop goes on where the first one stopped.

        Raises:
            SourceError: the source was lost.
        """
        if self._iterator is None:
            self._iterator = iter(self._source)
        while (frame := next(self._iterator, None)) is not None:
            yield frame

    def close(self) -> None:
        """Ends the frames and frees the device; safe to call twice."""
        self._source.close()
        if isinstance(self._iterator, Generator):
            try:
                self._iterator.close()  # a camera is closed now, and not some time later
            except ValueError:  # another thread waits for a frame; it ends by itself, and closes the camera
                log.debug("source %s: closed while another thread waits for a frame", self.name)

    def __enter__(self) -> Frames:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Frames({self.name}{f', {self.description}' if self.description else ''})"


def open_source(
    uri: str | os.PathLike[str] | None = None,
    *,
    realtime: bool = False,
    loop: bool = False,
    rate: float | None = None,
    reconnect: bool = False,
) -> Frames:
    """Opens a camera, a clip or a folder of photos; success means that its first frame can be read.

    Args:
        uri: as ``fer-edge run --source``: a clip's path, ``v4l2:///dev/video0``, ``v4l2://usb:046d:0825``,
            ``csi://0``, ``argus://0``, ``rtsp://user:password@host/path``, ``images:///folder``, ``synthetic://``;
            None takes the first camera found.
        realtime: play a clip at its own speed, dropping late frames.
        loop: begin a clip again at its end.
        rate: play a clip, or drawn faces, at so many frames per second.
        reconnect: open a camera that was lost again, for as long as it takes, instead of raising SourceError.

    Returns:
        The frames, to be used in a ``with`` and iterated.

    Raises:
        SourceError: it cannot be opened; one line that says why and what to do.
    """
    from fer_edge.sources.camera import find_camera

    play = Playback(realtime, loop, rate)
    open_it: Callable[[], FrameSource]
    if uri is None:
        open_it, name, row = find_camera, "camera://", None
    else:
        parsed = parse_uri(os.fspath(uri))
        row = SCHEMES[parsed.scheme]
        _check(play, parsed.scheme, parsed.text)
        open_it, name = opener(parsed, play), parsed.text
    is_camera = row is None or row.is_camera
    if reconnect and not is_camera:
        raise SourceError(f"source {name}: reconnect=True is for cameras; expected one, or reconnect=False")
    first = open_it()
    source = ReconnectingSource(open_it, name, log.warning, first=first, look=camera_nodes) if reconnect else first
    can_wait = row is not None and row.can_wait and not play.is_paced
    return Frames(source, can_wait=can_wait, tracks_faces=row is None or row.tracks_faces)


def _check(play: Playback, scheme: str, shown: str) -> None:
    """Refuses what this scheme cannot do, as the command does."""
    for name, wanted in (("loop", play.loop), ("rate", play.rate is not None)):
        if wanted and name not in SCHEMES[scheme].plays:
            raise SourceError(f"source {shown}: is no clip; expected the path of a video, or no {name}")
