"""Motion JPEG over HTTP (``multipart/x-mixed-replace``, RFC 2046) taken apart: bytes in, whole parts out."""

from __future__ import annotations

import re

from fer_edge.contract.bounds import PART_BYTES as MAX_PART_BYTES
from fer_edge.contract.bounds import PART_HEADER_BYTES as MAX_HEADER_BYTES

_BOUNDARY = re.compile(r'(?i)\bboundary\s*=\s*(?:"([^"]+)"|([^\s;"]+))')
_LENGTH = re.compile(rb"(?im)^content-length\s*:\s*(\d{1,12})\s*$")
_HEADERS_END = re.compile(rb"\r?\n\r?\n")


class NotMultipart(ValueError):  # noqa: N818  # named for what it is
    """What came does not follow the format, or is larger than any picture; says how."""


def boundary_of(content_type: str) -> str | None:
    """The boundary that a Content-Type names, without leading dashes, which cameras write or leave out; or None."""
    found = _BOUNDARY.search(content_type)
    return (found[1] or found[2]).lstrip("-") or None if found else None


class Multipart:
    """Parts of one answer; feed it what the socket gives.

    A part ends where its Content-Length says, else at the next boundary.

    Args:
        boundary: see ``boundary_of``.
    """

    def __init__(self, boundary: str) -> None:
        self._mark = b"--" + boundary.encode("latin-1", "replace")
        self._held = bytearray()
        self._length: int | None = None
        self._in_body = False

    def feed(self, data: bytes) -> list[bytes]:
        """The contents of the parts that are whole now.

        Raises:
            NotMultipart: no boundary, headers without an end, or a part that is too large.
        """
        self._held += data
        parts = []
        while (part := self._next()) is not None:
            parts.append(part)
        return [part for part in parts if part]

    def _next(self) -> bytes | None:
        """A part, b"" for progress without one, None where more is needed."""
        return self._body() if self._in_body else self._headers()

    def _headers(self) -> bytes | None:
        begin = self._held.find(self._mark)
        end = _HEADERS_END.search(self._held, begin) if begin >= 0 else None
        if end is None:
            if len(self._held) > MAX_HEADER_BYTES + len(self._mark):
                missing = "no boundary" if begin < 0 else "headers without an end"
                raise NotMultipart(f"{missing} in {len(self._held)} bytes")
            return None
        length = _LENGTH.search(self._held, begin, end.start() + 1)
        self._length = int(length[1]) if length else None
        if self._length is not None and self._length > MAX_PART_BYTES:
            raise NotMultipart(f"a picture of {self._length} bytes, expected at most {MAX_PART_BYTES}")
        del self._held[: end.end()]
        self._in_body = True
        return b""

    def _body(self) -> bytes | None:
        end = self._length if self._length is not None else self._held.find(self._mark)
        if end < 0 or end > len(self._held):
            if len(self._held) > MAX_PART_BYTES:
                raise NotMultipart(f"a picture of more than {MAX_PART_BYTES} bytes")
            return None
        part = bytes(self._held[:end])
        del self._held[:end]
        self._in_body = False
        return part
