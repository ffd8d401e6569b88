"""What the web server answers: the page, the live picture and readings, photos, the camera's switch, metrics."""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fer_edge.contract import bounds
from fer_edge.errors import EdgeError, ImageError
from fer_edge.pictures.annotate import blur_faces
from fer_edge.program import allocator
from fer_edge.sinks.metrics import CONTENT_TYPE as METRICS_TYPE
from fer_edge.sinks.web import guard, policy
from fer_edge.sinks.web.connection import TooMuch
from fer_edge.sinks.web.exchange import Refused
from fer_edge.sinks.web.live import draw
from fer_edge.sinks.web.site import OPEN, document
from fer_edge.sinks.web.streams import Streams
from fer_edge.sinks.web.upload import TooLarge, WrongType, check_photo


class Handler(Streams):
    """The routes, and who may take them."""

    # -- requests

    def do_GET(self) -> None:  # noqa: N802  # the standard library's name
        """Everything that only reads."""
        self._route(
            {
                "/events": self._events,
                "/stream.mjpeg": self._stream,
                "/snapshot.jpg": self._snapshot,
                "/api/status": lambda: self._json(self.site.state()),
            }
        )

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:  # noqa: N802
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
                self._answer(self.site.metrics.text().encode("utf-8", "replace"), METRICS_TYPE)
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
            raise Refused(
                HTTPStatus.UNAUTHORIZED,
                "token_required",
                "give the token: shown at the start, or in the file that the log names",
            )
        given = parse_qs(query).get("token", [""])[0] if query.count("&") < bounds.FORM_FIELDS else ""
        if given and token.matches(given):
            self._welcome(token)
        else:
            self._answer(self.site.login, "text/html; charset=utf-8", HTTPStatus.UNAUTHORIZED)
        return True

    def _welcome(self, token: guard.Token) -> None:
        """Sets the cookie and leads to the page by an address that does not hold the token."""
        in_frames = any(each != policy.SELF for each in self.site.settings.frame_ancestors)
        is_https = self.headers.get("X-Forwarded-Proto") == "https"
        cookie = policy.cookie(self.site.cookie_name, token.cookie, in_frames, is_https)
        self._answer(b"", "text/plain", HTTPStatus.SEE_OTHER, {"Location": "./", "Set-Cookie": cookie})

    def _login(self) -> None:
        if not guard.may_change(self.headers, own_header=False):
            raise Refused(HTTPStatus.FORBIDDEN, "cross_site", "sent by another site's page")
        self.server.places.idle(self.connection)  # anybody may send a form, also one that never ends
        content = self._body(bounds.LOGIN_BYTES, bounds.REQUEST_S)
        try:
            fields = parse_qs(content.decode("ascii"), max_num_fields=bounds.FORM_FIELDS)
        except ValueError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "bad_request", "not a form") from error
        token, given = self.site.token, fields.get("token", [""])[0].strip()
        if token is None or token.matches(given):
            self._welcome(token or guard.Token())
        else:
            wrong = self.site.login.replace(b"<!--wrong-->", b'<p role="alert">That is not the token.</p>')
            self._answer(wrong, "text/html; charset=utf-8", HTTPStatus.UNAUTHORIZED)

    # -- answers

    def _photo(self) -> None:
        try:
            self._json(self._read_photo())
        finally:
            allocator.give_back()

    def _read_photo(self) -> dict[str, Any]:
        site = self.site
        if not site.photo_slots.acquire(blocking=False):
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "busy", "two photos are being read; try again")
        try:
            content = self._body(site.settings.max_upload_bytes, bounds.UPLOAD_S)
            check_photo(content, site.settings.max_upload_bytes, site.settings.max_upload_pixels)
            reading = site.controls.read_photo(content)
            image = reading.frame.image
            image = blur_faces(image, reading.all_faces) if site.settings.blur else image
            picture = draw(image, reading.faces, site.settings)
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
        return {"reading": document(reading), "picture": f"data:image/jpeg;base64,{data}"}

    def _camera(self, on: bool) -> None:
        if not self.site.controls.has_camera:
            raise Refused(HTTPStatus.CONFLICT, "no_camera", "started without a camera")
        if self._length:
            self._body(bounds.COMMAND_BYTES, bounds.REQUEST_S)
        (self.site.controls.start if on else self.site.controls.stop)()
        self._json({"camera": "start" if on else "stop"}, HTTPStatus.ACCEPTED)

    def _snapshot(self) -> None:
        picture = self.site.live.picture(self.site.live.latest)
        if not picture:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "no_picture", "there is no picture now")
        self._answer(picture, "image/jpeg")
