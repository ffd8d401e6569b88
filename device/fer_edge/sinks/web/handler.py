"""What the web server answers: the page, the live picture and readings, photos, the camera's switch, metrics."""

from __future__ import annotations

import base64
import dataclasses
import http.server
import io
import json
import threading
import time
from http import HTTPStatus
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fer_edge.contract import codec
from fer_edge.contract.reading import SCHEMA
from fer_edge.errors import EdgeError, ImageError
from fer_edge.sinks.metrics import CONTENT_TYPE as METRICS_TYPE
from fer_edge.sinks.metrics import MetricsSink
from fer_edge.sinks.web import guard
from fer_edge.sinks.web.connection import (
    HEADER_BYTES,
    REQUEST_S,
    WRITE_S,
    DeadlineReader,
    TooMuch,
    has_gone,
    linger,
)
from fer_edge.sinks.web.controls import Controls
from fer_edge.sinks.web.live import Live, draw
from fer_edge.sinks.web.settings import WebSettings
from fer_edge.sinks.web.upload import TooLarge, WrongType, check_photo
from fer_edge.types import FrameReading

UPLOAD_S = 60.0
READINGS_HZ = 8.0
STATIC = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
OPEN = ("/style.css", "/icon.svg")  # what the page that asks for the token needs
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


def static_file(name: str) -> bytes:
    """A file of the page, which is package data."""
    return resources.files("fer_edge.sinks.web").joinpath("static", name).read_bytes()


class Site:
    """What all connections share.

    Args:
        settings: of the page.
        controls: the camera's switch and the reader of photos.
        live: newest reading, status, last minute.
        token: what visitors have to know; None where only this machine can reach the page.
        metrics: given out at /metrics; None for none.
        page: False serves /metrics alone.
    """

    def __init__(
        self,
        settings: WebSettings,
        controls: Controls,
        live: Live,
        token: guard.Token | None,
        metrics: MetricsSink | None,
        page: bool = True,
    ) -> None:
        self.settings, self.controls, self.live, self.token = settings, controls, live, token
        self.metrics, self.page, self.cookie_name = metrics, page, f"fer_edge_{settings.port}"
        self.files = {path: (static_file(name), kind) for path, (name, kind) in STATIC.items()}
        self.login = static_file("login.html")
        self.photo_slots = threading.BoundedSemaphore(2)  # one is read while the next comes in
        self.viewer_slots = threading.BoundedSemaphore(
            2 * settings.max_viewers
        )  # a picture and a stream of events each
        self.stalled = 0  # viewers that stopped reading


class Refused(Exception):  # noqa: N818  # an ending, named for what it is
    """A request that is answered with a refusal."""

    def __init__(self, status: HTTPStatus, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection. Every refusal is a JSON document ``{"error": {"kind", "message"}}``."""

    site: Site  # of the subclass that ``WebSink`` makes
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "fer-edge", ""

    # -- the connection

    def setup(self) -> None:
        """Reading under a deadline in place of the standard library's."""
        super().setup()
        self.connection.settimeout(WRITE_S)
        self._raw = DeadlineReader(self.connection)
        self.rfile = io.BufferedReader(self._raw, 8192)

    def handle_one_request(self) -> None:
        """One request, from its first byte to its answer."""
        self._raw.allow(HEADER_BYTES, REQUEST_S)
        self.command, self.requestline, self.request_version = "", "", "HTTP/1.1"
        self._answered = False
        try:
            super().handle_one_request()
        except TooMuch:
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

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
        self._answer(json.dumps(error).encode(), "application/json", refused.status, {"Connection": "close"} | more)
        self.wfile.flush()
        linger(self.connection)

    def _answer(
        self, content: bytes | None, kind: str, status: HTTPStatus = HTTPStatus.OK, more: dict[str, str] | None = None
    ) -> None:
        """Headers and content; without content (a stream) the connection ends with it."""
        self._answered = True
        self.connection.settimeout(WRITE_S)
        self.send_response(status)
        for name, value in (HEADERS | (more or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        if content is None:
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if content is not None and self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, document: object, status: HTTPStatus = HTTPStatus.OK) -> None:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
        self._answer(text.encode(), "application/json; charset=utf-8", status)

    # -- requests

    def do_GET(self) -> None:  # the standard library's name
        """Everything that only reads."""
        self._route(
            {
                "/events": self._events,
                "/stream.mjpeg": self._stream,
                "/snapshot.jpg": self._snapshot,
                "/api/status": lambda: self._json(self._state()),
            }
        )

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        """Everything that does something; only from our own page or a program."""
        self._route(
            {
                "/api/photo": self._photo,
                "/api/camera/start": lambda: self._camera(on=True),
                "/api/camera/stop": lambda: self._camera(on=False),
            }
        )

    def _route(self, routes: dict[str, Any]) -> None:
        try:
            path, query = self._address()
            if path == "/login" and self.command == "POST":
                self._login()
                return
            navigates = path == "/" and self.command != "POST"
            if self._check(path, navigates, query):
                return
            if self.command == "POST":
                if path not in routes:
                    raise Refused(HTTPStatus.NOT_FOUND, "not_found", "no such address")
                if not guard.may_change(self.headers):
                    raise Refused(
                        HTTPStatus.FORBIDDEN, "cross_site", f"only our own page may do this; send {guard.OWN_HEADER}: 1"
                    )
                routes[path]()
            elif path == "/metrics" and self.site.metrics is not None:
                self._answer(self.site.metrics.text().encode(), METRICS_TYPE)
            elif path in self.site.files and self.site.page:
                self._answer(*self.site.files[path])
            elif path in routes and self.site.page:
                routes[path]()
            else:
                raise Refused(HTTPStatus.NOT_FOUND, "not_found", "no such address")
        except Refused as refused:
            self._refuse(refused)
        except TooMuch:
            self._refuse(Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", "more came than was announced"))

    def _address(self) -> tuple[str, str]:
        """Path and query; the Host must be ours, whatever is asked for."""
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not guard.host_is_known(
            hosts[0], (self.site.settings.address, *self.site.settings.hosts)
        ):
            raise Refused(
                HTTPStatus.MISDIRECTED_REQUEST,
                "unknown_host",
                "not a name of this machine; use its address, or add the name to web.hosts",
            )
        try:
            parts = urlsplit(self.path)
        except ValueError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "bad_request", "not an address") from error
        return parts.path, parts.query

    def _check(self, path: str, navigates: bool, query: str) -> bool:
        """Refuses other sites and visitors without the token; True if it has answered already."""
        if guard.is_cross_site(self.headers, navigates):
            raise Refused(HTTPStatus.FORBIDDEN, "cross_site", "asked for by another site's page")
        token = self.site.token
        if token is None or path in OPEN or token.admits(self.headers, self.site.cookie_name):
            return False
        if not navigates or not self.site.page:
            raise Refused(HTTPStatus.UNAUTHORIZED, "token_required", "give the token that was shown at the start")
        given = parse_qs(query, max_num_fields=8).get("token", [""])[0] if query.count("&") < 8 else ""
        if given and token.matches(given):
            self._welcome(token)
        else:
            self._answer(self.site.login, "text/html; charset=utf-8", HTTPStatus.UNAUTHORIZED)
        return True

    def _welcome(self, token: guard.Token) -> None:
        """Sets the cookie and leads to the page by an address that does not hold the token."""
        cookie = f"{self.site.cookie_name}={token.cookie}; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000"
        self._answer(b"", "text/plain", HTTPStatus.SEE_OTHER, {"Location": "/", "Set-Cookie": cookie})

    def _login(self) -> None:
        if not guard.may_change(self.headers, own_header=False):
            raise Refused(HTTPStatus.FORBIDDEN, "cross_site", "sent by another site's page")
        try:
            fields = parse_qs(self._body(2048, REQUEST_S).decode("ascii"), max_num_fields=4)
        except ValueError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "bad_request", "not a form") from error
        token, given = self.site.token, fields.get("token", [""])[0].strip()
        if token is None or token.matches(given):
            self._welcome(token or guard.Token())
        else:
            wrong = self.site.login.replace(b"<!--wrong-->", b'<p role="alert">That is not the token.</p>')
            self._answer(wrong, "text/html; charset=utf-8", HTTPStatus.UNAUTHORIZED)

    def _body(self, most_bytes: int, seconds: float) -> bytes:
        """The request's content, not more than allowed and within the time."""
        lengths = self.headers.get_all("Content-Length") or []
        if self.headers.get("Transfer-Encoding") or len(lengths) != 1:
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "length_required", "expected one Content-Length and no chunks")
        if not (lengths[0].isascii() and lengths[0].isdecimal()) or len(lengths[0]) > 15:
            raise Refused(HTTPStatus.BAD_REQUEST, "bad_request", "Content-Length is no number")
        length = int(lengths[0])
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
        return content

    # -- answers

    def _photo(self) -> None:
        site = self.site
        if not site.photo_slots.acquire(blocking=False):
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "busy", "two photos are being read; try again")
        try:
            content = self._body(site.settings.max_upload_bytes, UPLOAD_S)
            check_photo(content, site.settings.max_upload_bytes, site.settings.max_upload_pixels)
            reading = site.controls.read_photo(content)
            picture = draw(reading.frame.image, reading.faces, site.settings)
        except TooLarge as error:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", str(error)) from error
        except WrongType as error:
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "wrong_type", str(error)) from error
        except ImageError as error:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "bad_image", str(error)) from error
        except EdgeError as error:
            raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "cannot_read", str(error)) from error
        finally:
            site.photo_slots.release()
        data = base64.b64encode(picture).decode()
        self._json({"reading": document(reading), "picture": f"data:image/jpeg;base64,{data}"})

    def _camera(self, on: bool) -> None:
        if not self.site.controls.has_camera:
            raise Refused(HTTPStatus.CONFLICT, "no_camera", "started without a camera")
        if self.headers.get("Content-Length", "0") != "0":
            self._body(1024, REQUEST_S)
        (self.site.controls.start if on else self.site.controls.stop)()
        self._json({"camera": "start" if on else "stop"}, HTTPStatus.ACCEPTED)

    def _snapshot(self) -> None:
        picture = self.site.live.picture(self.site.live.latest)
        if not picture:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "no_picture", "there is no picture now")
        self._answer(picture, "image/jpeg")

    def _stream(self) -> None:
        """Motion JPEG, newest picture only: a viewer that is slow gets fewer of them."""
        site, number = self.site, 0
        self._viewer()
        try:
            self._answer(None, "multipart/x-mixed-replace; boundary=picture")
            if self.command == "HEAD":
                return
            self.wfile.write(b"--picture\r\n")
            while not site.live.closed:
                due = time.monotonic() + 1 / site.settings.max_fps
                latest = site.live.wait(number, 1.0)
                if has_gone(self.connection):
                    return
                picture = site.live.picture(latest) if latest.number > number else b""
                number = latest.number
                if picture:  # the boundary after it shows a browser at once that it is whole
                    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
                    self._write(head + picture + b"\r\n--picture\r\n")
                    time.sleep(max(0.0, due - time.monotonic()))
        finally:
            site.viewer_slots.release()

    def _events(self) -> None:
        """Server-sent events: state and last minute at first and once a second, readings between."""
        site, number, told_s = self.site, 0, 0.0
        self._viewer()
        try:
            self._answer(None, "text/event-stream; charset=utf-8")
            if self.command == "HEAD":
                return
            while not site.live.closed:
                now = time.monotonic()
                if now - told_s >= 1:
                    told_s = now
                    self._event("state", self._state())
                latest = site.live.wait(number, 0.5)
                if has_gone(self.connection):
                    return
                if latest.reading is not None and latest.number > number:
                    age_s = round(time.monotonic() - latest.reading.frame.t_capture_s, 3)
                    self._event("reading", {"age_s": age_s, "reading": document(latest.reading)})
                    time.sleep(1 / READINGS_HZ)
                number = latest.number
        finally:
            site.viewer_slots.release()

    def _viewer(self) -> None:
        if not self.site.viewer_slots.acquire(blocking=False):
            most = self.site.settings.max_viewers
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too_many_viewers", f"{most} are watching already")

    def _event(self, name: str, content: object) -> None:
        self._write(f"event: {name}\ndata: {json.dumps(content, ensure_ascii=False, allow_nan=False)}\n\n".encode())

    def _write(self, content: bytes) -> None:
        try:
            self.wfile.write(content)
        except TimeoutError:
            self.site.stalled += 1
            raise

    def _state(self) -> dict[str, Any]:
        site, now = self.site, time.monotonic()
        status = site.live.last_status
        return {
            "camera": site.controls.has_camera,
            "blur": site.settings.blur,
            "status": None if status is None else dataclasses.asdict(status),
            "for_s": None if status is None else round(now - status.since_s, 1),
            "history": site.live.history.rows(now),
            "now_s": int(now),
            "max_upload_bytes": site.settings.max_upload_bytes,
        }


def document(reading: FrameReading) -> dict[str, Any]:
    """A reading as its JSON document. A photo's name and place are not known here."""
    encoded: dict[str, Any] = {"schema": SCHEMA, **codec.encode(reading.to_doc())}
    return encoded
