"""One HTTP connection under limits: what may come in, the headers that go out, how a refusal looks."""

from __future__ import annotations

import http.server
import io
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fer_edge.contract import bounds
from fer_edge.sinks.encode import to_json
from fer_edge.sinks.web.connection import DeadlineReader, LimitedServer, TooMuch, linger
from fer_edge.sinks.web.framing import BadFraming, Lines, check_request_line, check_version, content_length


class Refused(Exception):  # noqa: N818  # an ending, named for what it is
    """A request that is answered with a refusal."""

    status: HTTPStatus
    kind: str

    def __init__(self, status: HTTPStatus, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


class Exchange(http.server.BaseHTTPRequestHandler):
    """One connection. Every refusal is a JSON document ``{"error": {"kind", "message"}}``."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "fer-edge", ""
    server: LimitedServer
    policy: Mapping[str, str]  # headers of every answer
    raw_requestline: bytes

    def setup(self) -> None:
        """Reading under a deadline in place of the standard library's."""
        super().setup()
        self.connection.settimeout(bounds.WRITE_S)
        self._raw = DeadlineReader(self.connection)
        self.rfile = io.BufferedReader(self._raw, 8192)

    def handle_one_request(self) -> None:
        """One request, from its first byte to its answer."""
        self.server.places.idle(self.connection)
        self._raw.allow(bounds.HEADER_BYTES, bounds.REQUEST_S)
        self.command, self.requestline, self.request_version = "", "", "HTTP/1.1"
        self._answered, self._unread = False, 0
        self._length: int | None = 0  # of the content; None where it was not said
        try:
            super().handle_one_request()
        except TooMuch:
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        except BadFraming as error:
            self._refuse(Refused(HTTPStatus.BAD_REQUEST, "bad_request", str(error)))

    def parse_request(self) -> bool:
        """The head; False where it has been refused.

        Raises:
            BadFraming: it is not certain where the request ends.
        """
        check_request_line(self.raw_requestline)
        stream: Any = self.rfile
        self.rfile = Lines(stream)  # type: ignore[assignment]  # parse_request asks for lines alone
        try:
            if not super().parse_request():
                return False
        finally:
            self.rfile = stream
        check_version(self.request_version)
        self._length = content_length(self.command, self.headers)
        self._unread = self._length or 0
        self.server.places.busy(self.connection)
        return True

    def handle_expect_100(self) -> bool:
        """Not before the request has been looked at: see ``_body``."""
        return True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests are no news, and may hold the token."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """A refusal; the standard library calls this for requests that it cannot parse."""
        status = HTTPStatus(code)
        self._refuse(Refused(status, status.name.lower(), message or status.phrase))

    def _refuse(self, refused: Refused) -> None:
        self.close_connection = True
        self.request_version = self.protocol_version  # of what cannot be parsed the library believes it is HTTP/0.9
        if self._answered:  # in the middle of an answer there is nothing left to say
            return
        error = {"error": {"kind": refused.kind, "message": str(refused)}}
        more = {"Retry-After": "2"} if refused.status == HTTPStatus.SERVICE_UNAVAILABLE else {}
        self._answer(to_json(error), "application/json; charset=utf-8", refused.status, more)
        self.wfile.flush()
        self.server.places.idle(self.connection)
        linger(self.connection)

    def _answer(
        self, content: bytes | None, kind: str, status: HTTPStatus = HTTPStatus.OK, more: dict[str, str] | None = None
    ) -> None:
        """Headers and content; without content (a stream) the connection ends with it."""
        self._answered = True
        self.connection.settimeout(bounds.WRITE_S)
        self.send_response(status)
        for name, value in {**self.policy, **(more or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        if content is None or self._unread:  # what was not read must not be taken for the next request
            self.close_connection = True
        if self.close_connection:
            self.send_header("Connection", "close")
        if content is not None:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if content is not None and self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, document: object, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._answer(to_json(document), "application/json; charset=utf-8", status)

    def _body(self, most_bytes: int, seconds: float) -> bytes:
        """The request's content, not more than allowed and within the time."""
        length = self._length
        if length is None:
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "length_required", "expected one Content-Length")
        if length > most_bytes:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", f"{length} bytes, expected at most {most_bytes}"
            )
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(HTTPStatus.CONTINUE)
            self.end_headers()
        self._raw.allow(length + 1, seconds)
        try:
            content = self.rfile.read(length)
        except TimeoutError as error:
            message = f"the content did not come in {seconds:g} s"
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, "timeout", message) from error
        if len(content) != length:
            raise Refused(HTTPStatus.BAD_REQUEST, "cut_off", f"{len(content)} bytes came, {length} were announced")
        self._unread = 0
        return content
