"""Where one request ends and the next begins: whatever announces content that nobody reads is refused, and closed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import web_helpers as helpers

from fer_edge.sinks.web.handler import Handler
from fer_edge.sinks.web.sink import WebSink

HOST = b"Host: localhost\r\n"
HIDDEN = b"GET /hidden-request HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
POST = b"POST /api/camera/stop HTTP/1.1\r\n" + HOST + b"X-Fer-Edge: 1\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(HIDDEN)


@pytest.fixture(scope="module")
def web() -> Iterator[WebSink]:
    with helpers.site() as sink:
        yield sink


def statuses(answer: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n" + HOST + LENGTH,
        b"GET / HTTP/1.1\r\n" + HOST + CHUNKED,
        b"HEAD / HTTP/1.1\r\n" + HOST + LENGTH,
        b"GET /api/status HTTP/1.1\r\n" + HOST + b"Content-Length: nonsense\r\n",
        b"GET /nowhere HTTP/1.1\r\n" + HOST + LENGTH,
        POST + LENGTH + CHUNKED,
        POST + CHUNKED,
        POST + LENGTH + b"Content-Length: 0\r\n",
        POST + b"Content-Length: 0\r\n" + LENGTH,
        POST + b"Content-Length: 0, %d\r\n" % len(HIDDEN),
        POST + b"Content-Length: +0\r\n",
        POST + b"Transfer-Encoding: identity\r\n",
        POST + b"Content-Length : %d\r\n" % len(HIDDEN),  # a blank before the colon hides the header from a parser
        POST + b"no header at all\r\n" + LENGTH,
        POST + b"X: folded\r\n " + LENGTH,
        POST + b"X: y\rContent-Length: 0\r\n",
        POST + b"X: y\0z\r\n",
        POST + b": no name\r\n",
    ],
)
def test_content_nobody_reads_is_refused_and_never_taken_for_a_request(web: WebSink, head: bytes) -> None:
    answer = helpers.raw(web.port, head + b"\r\n" + HIDDEN)
    assert statuses(answer) == [400], answer
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /nowhere HTTP/1.1\r\n" + HOST + b"X-Fer-Edge: 1\r\n" + LENGTH, 404),
        (b"POST /api/camera/stop HTTP/1.1\r\n" + HOST + LENGTH, 403),
        (b"POST /login HTTP/1.1\r\n" + HOST + b"Origin: http://evil.example\r\n" + LENGTH, 403),
        (b"POST /api/photo HTTP/1.1\r\n" + HOST + b"X-Fer-Edge: 1\r\n", 411),
        (b"DELETE / HTTP/1.1\r\n" + HOST + LENGTH, 400),
        (b"OPTIONS * HTTP/1.1\r\n" + HOST + CHUNKED, 400),
    ],
)
def test_refusals_leave_nothing_to_be_parsed(web: WebSink, head: bytes, status: int) -> None:
    assert statuses(helpers.raw(web.port, head + b"\r\n" + HIDDEN)) == [status]


def test_content_that_is_read_keeps_the_connection(web: WebSink) -> None:
    """The other way round: requests one after the other on a connection, with and without content, all answered."""
    two = POST + b"Content-Length: 5\r\n\r\nhello" + b"GET /api/status HTTP/1.1\r\n" + HOST + b"\r\n"
    last = b"GET /nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n"
    assert statuses(helpers.raw(web.port, two + last)) == [202, 200, 404]


def test_a_route_that_forgets_the_content_ends_the_connection(web: WebSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "_camera", lambda self, on: self._json({"on": on}))
    answer = helpers.raw(web.port, POST + LENGTH + b"\r\n" + HIDDEN)
    assert statuses(answer) == [200]
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize("line", [b"GET / HTTP/0.9\r\n", b"GET /\r\n", b"GET /app.js HTTP/0.5\r\n"])
def test_a_request_without_a_version_gets_an_answer_with_a_head(web: WebSink, line: bytes) -> None:
    """HTTP/0.9 has none: the page came without the headers that keep it safe (found by ``benchmarks/fuzz.py http``)."""
    found = helpers.raw(web.port, line + HOST + b"\r\n")
    assert statuses(found) == [400]
    assert b"Content-Security-Policy" in found
    assert b"<!doctype" not in found
