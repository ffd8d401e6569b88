"""Where a request's head and content end. What two programs could read differently is refused (RFC 9112, section 11.2).

A proxy in front and this server must never disagree about where the next request begins, or a visitor can hide one.
"""

from __future__ import annotations

import re
from email.message import Message
from typing import BinaryIO

_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r?\n")  # no folded lines, no blank before the colon
_END = (b"\r\n", b"\n")


class BadFraming(ValueError):  # noqa: N818  # an ending, named for what it is
    """A request of which it is not certain where it ends."""


class Lines:
    """The lines of a head, each checked as it is read.

    Args:
        stream: of the connection, after the request line.

    Raises:
        BadFraming: (by ``readline``) a line that is no header field, or the end of the stream before the head's.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readline(self, limit: int = -1) -> bytes:
        """The next line, at most ``limit`` bytes of it."""
        line = self._stream.readline(limit)
        if line not in _END and not _FIELD.fullmatch(line):
            raise BadFraming("a header line that is none" if line else "the request ended within its headers")
        return line


def check_request_line(line: bytes) -> None:
    """Refuses line ends and zeros inside it.

    Raises:
        BadFraming: they are there.
    """
    if re.search(rb"[\r\n\0]", re.sub(rb"\r?\n\Z", b"", line)):
        raise BadFraming("a request line with control characters")


def check_version(version: str) -> None:
    """Refuses HTTP/0.9, whose answers have no head: no status, and none of the headers that keep a page safe.

    Args:
        version: of the request, "HTTP/1.1"; the standard library takes a line without one for HTTP/0.9.

    Raises:
        BadFraming: it is older than 1.0.
    """
    if version.startswith("HTTP/0"):
        raise BadFraming(f"{version}, expected HTTP/1.0 or HTTP/1.1")


def content_length(method: str, headers: Message[str, str]) -> int | None:
    """Bytes of content that follow the head; None where a POST does not say.

    Raises:
        BadFraming: it says it in two ways or wrongly, or the request is one that has no content.
    """
    lengths = headers.get_all("Content-Length") or []
    if "Transfer-Encoding" in headers:
        raise BadFraming("Transfer-Encoding is not taken; expected one Content-Length")
    if len(lengths) > 1:
        raise BadFraming(f"{len(lengths)} times Content-Length, expected one")
    if not lengths:
        return None if method == "POST" else 0
    text = lengths[0].strip(" \t")
    if not (text.isascii() and text.isdecimal()) or len(text) > 15:
        raise BadFraming("Content-Length is no number")
    if method != "POST" and int(text):
        raise BadFraming(f"content with {method}, expected none")
    return int(text)
