"""A source as it was named: what ``open.parse_uri`` makes of a text, and every source is opened with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class SourceUri:
    """A parsed source: scheme, path (csi and argus: a number; rtsp: the whole URL) and whole-number options.

    ``text`` is what messages and readings show: a password in the source is not in it, and it is ``printable``.
    """

    scheme: str
    path: str
    options: dict[str, int]
    text: str


def has_user(uri: SourceUri) -> bool:
    """Whether a network camera's URL names a user."""
    return "@" in _authority(uri)


def has_password(uri: SourceUri) -> bool:
    """Whether a network camera's URL holds the user's password."""
    return ":" in _authority(uri).rpartition("@")[0]


def with_password(uri: SourceUri, password: str) -> SourceUri:
    """The URI of a network camera with its user's password in it; what is shown of it stays the same."""
    scheme, _, rest = uri.path.partition("://")
    user, _, host = rest.partition("@")
    return dataclasses.replace(uri, path=f"{scheme}://{user}:{quote(password, safe='')}@{host}")


def _authority(uri: SourceUri) -> str:
    """``user:password@host:port`` of a URL; of a scheme without one, nothing."""
    return uri.path.partition("://")[2].partition("/")[0]


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
