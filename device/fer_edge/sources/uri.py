"""A source as it was named: what ``open.parse_uri`` makes of a text, and every source is opened with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceUri:
    """A parsed source: scheme, path (csi and argus: a number; rtsp: the whole URL) and whole-number options.

    ``text`` is what messages and readings show: a password in the source is not in it, and it is ``printable``.
    """

    scheme: str
    path: str
    options: dict[str, int]
    text: str


@dataclass(frozen=True)
class Playback:
    """How a recording is played.

    Args:
        realtime: at its own speed, dropping what comes too late, instead of reading every frame.
        loop: begin again at its end. (No option in the URI: a file's name may hold ? and #.)
        rate: at so many frames per second, dropping what comes too late.
        every: of the frames from ``from_s`` to ``to_s``, the first and then one of so many.
        from_s: place in the clip of the first frame that is read; None reads from the start.
        to_s: place before which the last one is; None reads to the end.
    """

    realtime: bool = False
    loop: bool = False
    rate: float | None = None
    every: int = 1
    from_s: float | None = None
    to_s: float | None = None

    @property
    def is_paced(self) -> bool:
        """Frames come at their own time, and may be late."""
        return self.realtime or self.rate is not None
