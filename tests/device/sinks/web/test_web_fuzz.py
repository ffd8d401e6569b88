"""Broken requests, seeded: each is answered or its connection closed, none ends in a traceback or in a second answer.

20,000 by hand: FER_TEST_HTTP_CASES=20000.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import re
import socket

import pytest
import web_helpers as helpers

CASES = int(os.environ.get("FER_TEST_HTTP_CASES", "600"))
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
BASES = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /?token=0123456789abcdef HTTP/1.1\r\nHost: localhost\r\nCookie: fer_edge_0=a; b=c\r\n\r\n",
    b"HEAD /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\ntoken=abc",
    b"POST /api/camera/stop HTTP/1.1\r\nHost: localhost\r\nX-Fer-Edge: 1\r\nContent-Length: 0\r\n\r\n",
    b"POST /api/photo HTTP/1.1\r\nHost: localhost\r\nX-Fer-Edge: 1\r\nExpect: 100-continue\r\n"
    b"Content-Length: 5\r\n\r\nhello",
)  # fmt: skip
PIECES = (
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"\r\n ", b"\r\n\r\n", b"\x0b", b"\x85", b"\xff\xfe", b"%00"),
    *(b"Content-Length: 7\r\n", b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: \x0bchunked\r\n", b"Host: evil.example\r\n"),
    *(b"Connection: keep-alive\r\n", b"Connection: close\r\n", b"Sec-Fetch-Site: cross-site\r\n", b"Origin: null\r\n"),
    *(b"HTTP/0.9", b"HTTP/1.0", b"HTTP/2.0", b"Upgrade: h2c\r\n", b"Cookie: " + b'"' * 50 + b"\r\n", b"X" * 3000),
    b"Authorization: Bearer \xc3\xa9\r\n", b"7\r\nabcdefg\r\n0\r\n\r\n",
)  # fmt: skip


def mutated(rng: random.Random) -> bytes:
    """A request with one to four mistakes."""
    request = bytearray(rng.choice(BASES))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(request) + 1)
        what = rng.randrange(5)
        if what == 0:
            request[at:at] = rng.choice(PIECES)
        elif what == 1:  # where headers begin
            line = request.find(b"\r\n") + 2
            request[line:line] = rng.choice(PIECES)
        elif what == 2 and request:
            request[min(at, len(request) - 1)] = rng.randrange(256)
        elif what == 3:
            del request[at : at + rng.randint(1, 20)]
        else:
            request[at:at] = rng.randbytes(rng.randint(1, 9))
    return bytes(request)


def answers(port: int, request: bytes) -> bytes:
    """Everything that comes back, after the client has said all it has to say."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        content = b""
        with contextlib.suppress(ConnectionError):
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            while part := client.recv(65536):
                content += part
        return content


def test_broken_requests(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("fer_edge"), "propagate", True)
    rng, seen = random.Random(11), set[int]()
    with helpers.site() as web:
        for number in range(CASES):
            request = mutated(rng)
            found = answers(web.port, request)
            statuses = [int(code) for code in re.findall(rb"^HTTP/1\.1 (\d{3}) ", found, re.MULTILINE)]
            seen.update(statuses)
            assert not set(statuses) & {500, 502, 504}, (number, request, found)
            assert not caplog.records, (number, request)
            # requests that it took for such: never more than heads that stand there
            assert len([code for code in statuses if code != 100]) <= request.count(b"HTTP/") + 1, (number, request)
        assert len(seen) >= 10, seen  # the mistakes are of many kinds
        helpers.until(lambda: len(web._server.places) == 0, "no connection stays")
        assert helpers.ask(web.port, "GET", "/")[0] == 200


def test_nothing_hides_behind_a_broken_head() -> None:
    """Whatever is in a head, a request in its content is not answered, unless the content is announced as nothing."""
    rng = random.Random(12)
    with helpers.site() as web:
        for number in range(CASES // 2):
            head = bytearray(rng.choice(BASES[3:]).partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
            head[:] = re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(HIDDEN), bytes(head))
            at = rng.randrange(len(head) - 3)
            head[at:at] = rng.choice(PIECES) if rng.random() < 0.7 else rng.randbytes(1)
            text = bytes(head).lower()
            if text.find(b"\r\n\r\n") < len(head) - 4 or b"\n\n" in text or b"\n\r\n" in text[: len(head) - 4]:
                continue  # the mistake itself ends the head
            if not re.search(rb"\ncontent-length: %d\r\n" % len(HIDDEN), text):
                continue  # another length: what follows may be a request
            found = answers(web.port, bytes(head) + HIDDEN)
            statuses = [code for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", found) if code != b"100"]
            assert len(statuses) <= 1, (number, bytes(head), found)
