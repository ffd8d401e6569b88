"""Requests, headers, bodies and uploads to two pages, one with a token, over real connections.

Promised: an answer or a closed connection; no 5xx but "busy"; no more answers than requests; nothing behind a refused
head; nothing done or told without the token; nothing logged.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import web_helpers as helpers
from damage import damage_bytes, one_of
from fuzz_pictures import a_picture, good_files
from harness import Case, Fault

from fer_edge.pictures.photo import decode_photo
from fer_edge.types import Frame, FrameReading

SILENT = True
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
TOKEN = "a token of the fuzz's own"
METHODS = (*(b"GET", b"POST") * 12, b"HEAD", b"PUT", b"OPTIONS", b"get", b"PRI", b"", b"\xff", b"A" * 300)
TARGETS = (
    *(b"/", b"/", b"/api/photo", b"/api/photo", b"/api/photo", b"/login", b"/login", b"/api/status", b"/snapshot.jpg"),
    *(b"/api/camera/stop", b"/api/camera/start", b"/metrics", b"/app.js", b"/style.css", b"*", b"", b"//", b"/?token="),
    *(b"/?token=0123456789abcdef", b"/%2e%2e/etc/passwd", b"http://evil.example/", b"/../../etc/passwd", b"/\xff"),
    *(b"/app.js%00", b"/?" + b"a=1&" * 40, b"/" + b"x" * 9000, b"//[::1", b"/login/", b"/api/photo?x=\x01"),
)
VERSIONS = (*(b" HTTP/1.1",) * 20, b" HTTP/1.0", b" HTTP/0.9", b" HTTP/2.0", b"", b" HTTP/1.1 ")
HEADERS = (
    *(b"X-Fer-Edge: 1", b"Connection: keep-alive", b"Accept: */*", b"Sec-Fetch-Site: same-origin") * 12,
    *(b"Connection: close", b"Cookie: fer_edge_0=a; b=c", b"Cookie: " + b'"' * 60, b"Cookie: fer_edge_0=\x81"),
    *(
        b"Authorization: Bearer x",
        b"Authorization: Bearer \xc3\xa9",
        b"Authorization: bearer",
        b"Authorization: Basic eA==",
    ),
    *(b"Sec-Fetch-Site: cross-site", b"Sec-Fetch-Site: same-origin", b"Origin: null", b"Origin: http://localhost"),
    *(b"Expect: 100-continue", b"Upgrade: h2c", b"X-Forwarded-Proto: https", b"Range: bytes=0-", b"Host: evil.example"),
    *(b"Content-Type: multipart/form-data; boundary=x", b"A: " + b"x" * 9000, b"no colon", b": empty", b" folded: x"),
    *(b"\xff\xfe: 1", b"A:\x00", b"A:\x0bb", b"Accept-Encoding: gzip", b"X-Forwarded-For: 1.2.3.4", b"TE: trailers"),
)
LENGTHS = (b"-1", b"99999999999999999999", b"+5", b"5, 5", b"0x10", b"1e3", b" 7", b"", b"\xb2", b"20000001", b"007")
TELLING = (b'"reading"', b"fer_edge_frames", b'"camera"')


class Photos(helpers.Switch):
    """Reads photos as the program does, and finds no face in them."""

    def read_photo(self, content: bytes) -> FrameReading:
        photo = decode_photo(content, "photo")
        return FrameReading(Frame(photo.image, 0, 0.0, "photo"), (), {})


def request(rng: np.random.Generator, photos: list[bytes]) -> bytes:
    """A request that is right in most of its parts."""
    method, target = one_of(rng, METHODS), one_of(rng, TARGETS)
    if target.startswith((b"/api", b"/login")) and rng.integers(0, 4):
        method = b"POST"
    head = method + b" " + target + one_of(rng, VERSIONS) + b"\r\n"
    lines = [b"Host: localhost"] if rng.integers(0, 8) else []
    lines += [one_of(rng, HEADERS) for _ in range(int(rng.integers(0, 4)))]
    lines += [b"X-Fer-Edge: 1"] if rng.integers(0, 2) else []
    body = one_of(rng, (b"", b"token=abc", b"token=" + b"x" * 2100, b"a=1&" * 30, one_of(rng, photos)))
    if rng.integers(0, 4) == 0:
        body = damage_bytes(rng, body or b"0", 400)
    if method != b"POST" and rng.integers(0, 8):
        body = b""
    framing = int(rng.integers(0, 8)) if rng.integers(0, 3) == 0 else 0
    if framing <= 4 or not body:
        lines.append(b"Content-Length: %d" % max(0, len(body) + (int(rng.integers(-3, 4)) if framing == 4 else 0)))
    elif framing == 5:
        lines.append(b"Transfer-Encoding: " + one_of(rng, (b"chunked", b"Chunked", b"gzip, chunked", b"\x0bchunked")))
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        lines.append(b"Content-Length: " + one_of(rng, LENGTHS))
        if framing == 7:
            lines.append(b"Content-Length: %d" % len(body))
    rng.shuffle(lines)
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def hiding(rng: np.random.Generator) -> bytes:
    """A POST with one mistake in its head, whose content is a request: it must not be answered. "" for none."""
    target = one_of(rng, (b"/login", b"/api/photo", b"/api/camera/stop"))
    head = bytearray(b"POST %b HTTP/1.1\r\nHost: localhost\r\nX-Fer-Edge: 1\r\n" % target)
    head += b"Content-Length: %d\r\n\r\n" % len(HIDDEN)
    at = int(rng.integers(0, len(head) - 3))
    head[at:at] = one_of(rng, HEADERS) + b"\r\n" if rng.integers(0, 2) else rng.bytes(int(rng.integers(1, 3)))
    text = bytes(head).lower()
    if text.find(b"\r\n\r\n") < len(head) - 4 or b"\n\n" in text or b"\n\r\n" in text[: len(head) - 4]:
        return b""  # the mistake itself ends the head
    if not re.search(rb"\ncontent-length: %d\r\n" % len(HIDDEN), text):
        return b""  # another length: what follows may be a request
    return bytes(head) + HIDDEN


def answers(port: int, content: bytes) -> bytes:
    """Everything that comes back, after the client has said all it has to say."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        found = b""
        with contextlib.suppress(ConnectionError):
            client.sendall(content)
            client.shutdown(socket.SHUT_WR)
            while part := client.recv(65536):
                found += part
        return found


class Records(logging.Handler):
    """What the program would have logged."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


@contextmanager
def cases(folder: Path) -> Iterator[Case]:
    token = folder / "token"
    token.write_text(TOKEN)
    photos = [content for content in good_files(a_picture()).values() if len(content) < 60_000]
    records = Records()
    logging.getLogger("fer_edge").addHandler(records)
    controls, guarded = Photos(), Photos()
    with helpers.site(controls) as web, helpers.site(guarded, token_file=str(token)) as locked:

        def case(rng: np.random.Generator, index: int) -> str:
            hidden = hiding(rng) if index % 6 == 0 else b""
            content = hidden or request(rng, photos)
            if not hidden and rng.integers(0, 4) == 0:
                content = damage_bytes(rng, content, 300, 4)
            site = (web, locked)[index % 2]
            found = answers(site.port, content)
            statuses = [int(code) for code in re.findall(rb"^HTTP/1\.1 (\d{3}) ", found, re.MULTILINE)]
            final = [status for status in statuses if status != 100]
            if found and not found.startswith((b"HTTP/1.1 ",)):
                raise Fault(f"no answer of HTTP: {found[:80]!r} to {content[:400]!r}")
            if any(status >= 500 and status not in (501, 503, 505) for status in statuses):
                raise Fault(f"{statuses} to {content[:400]!r}")
            if len(final) > (1 if hidden else content.count(b"HTTP/") + 1):
                raise Fault(f"{statuses} to {content[:400]!r}")
            if site is locked and (guarded.told or 303 in final or any(word in found for word in TELLING)):
                raise Fault(f"done or told without the token: {found[:200]!r} to {content[:400]!r}")
            if records.said:
                said = records.said.copy()
                records.said.clear()
                raise Fault(f"logged: {said[0][:300]} after {content[:300]!r}")
            return str(final[0]) if final else "closed"

        yield case
        helpers.until(lambda: len(web._server.places) + len(locked._server.places) == 0, "no connection stays")
