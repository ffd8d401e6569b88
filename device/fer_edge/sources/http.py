"""A network camera over HTTP: Motion JPEG (ESP32-CAM, phones, mjpg-streamer), or an address that gives one picture.

Redirects and logins (basic, digest) are urllib's. Proxies are not used: a camera is near.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import time
import urllib.error
import urllib.request
from functools import partial
from typing import Any
from urllib.parse import unquote

from fer_edge.contract.bounds import OPEN_S, PREPARED_SIDE_PX, READ_S, SAME_S
from fer_edge.contract.bounds import PART_BYTES as MAX_PART_BYTES
from fer_edge.contract.names import printable
from fer_edge.errors import ImageError, SourceError
from fer_edge.pictures.photo import decode_photo
from fer_edge.program.threads import OnceThread
from fer_edge.sources.live import Camera, CorruptFrame, LiveSource, one_line
from fer_edge.sources.mailbox import Mailbox
from fer_edge.sources.multipart import Multipart, NotMultipart, boundary_of
from fer_edge.sources.uri import SourceUri
from fer_edge.types import RgbImage

EVERY_S = 0.1  # between two questions for a single picture
READ_BYTES = 65_536


class HttpCamera(Camera):
    """A stream, or a picture that is asked for again and again; the newest is taken, older ones are left out.

    Args:
        name: of the source, for messages; without the password.
        url: with it.
    """

    name: str
    description: str
    dropped: int

    def __init__(self, name: str, url: str) -> None:
        self.name, self.description = name, ""
        self.corrupt = self.dropped = 0
        try:
            self._request, self._opener = _asked(url)
        except ValueError as error:
            raise SourceError(f"source {name}: no address; expected http://user:password@host/path") from error
        self._answer: http.client.HTTPResponse | None = None
        self._newest: Mailbox[bytes] | None = None
        self._receiver: OnceThread | None = None
        self._frames, self._asked_at_s = 0, 0.0
        self._first, self._last = b"", b""

    def open(self) -> None:
        """Asks; a stream stays open, a single picture is the first."""
        answer = self._ask(OPEN_S)
        kind = answer.headers.get_content_type()
        boundary = boundary_of(answer.headers.get("Content-Type", ""))
        if kind.startswith("multipart/") and boundary is not None:
            self._answer, self._newest = answer, Mailbox[bytes]()
            work = partial(self._receive, answer, Multipart(boundary), self._newest)
            self._receiver = OnceThread(f"receive {self.name}", work)
            self._receiver.start()
            self.description = "Motion JPEG over HTTP"
            return
        if not kind.startswith("image/"):
            answer.close()
            raise SourceError(
                f"source {self.name}: answers with {printable(kind)}, expected Motion JPEG or a picture; "
                "give the address of the stream itself, not of the page around it"
            )
        self._first = self._whole(answer)
        self.description = "single pictures over HTTP"

    def read(self) -> tuple[RgbImage, float]:
        """The newest picture, and when the last of it was here: a camera's own clock says nothing on this machine."""
        content = self._single() if self._newest is None else self._streamed(self._newest)
        came_s = time.monotonic()
        self._frames += 1
        try:
            return decode_photo(content, f"source {self.name}", PREPARED_SIDE_PX).image, came_s
        except ImageError as error:
            raise CorruptFrame(str(error)) from error

    def close(self) -> None:
        """Ends the connection."""
        if self._answer is None or self._receiver is None:
            return
        # closing waits for a read that is under way; the end of the connection ends that first
        with (
            contextlib.suppress(OSError, ValueError, AttributeError),  # it is over: there is no descriptor any more
            socket.socket(fileno=os.dup(self._answer.fileno())) as connection,
        ):
            connection.shutdown(socket.SHUT_RDWR)
        self._receiver.join(READ_S)
        self._answer.close()
        if self._newest is not None:
            self._newest.end()

    def _streamed(self, newest: Mailbox[bytes]) -> bytes:
        try:
            return newest.get(READ_S)
        except TimeoutError:
            raise self._lost(f"no picture in {READ_S:g} s") from None
        finally:
            self.dropped = newest.dropped

    def _receive(self, answer: http.client.HTTPResponse, parts: Multipart, newest: Mailbox[bytes]) -> None:
        """Takes what comes as fast as it comes, so that the newest picture is never an old one."""
        try:
            while data := answer.read1(READ_BYTES):
                for part in parts.feed(data):
                    newest.put(part)
            newest.fail(self._lost("the stream ended"))
        except NotMultipart as error:
            newest.fail(SourceError(f"source {self.name}: no Motion JPEG: {error}"))
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: closed meanwhile
            newest.fail(self._lost("the stream broke off", error))

    def _single(self) -> bytes:
        """Pictures that are the same to the byte are one: the camera made no new one."""
        until = time.monotonic() + SAME_S
        while True:
            content, self._first = self._first, b""
            if not content:
                time.sleep(max(0.0, self._asked_at_s + EVERY_S - time.monotonic()))
                content = self._whole(self._ask(READ_S))
            if content != self._last:
                self._last = content
                return content
            if time.monotonic() > until:
                raise SourceError(f"source {self.name}: the same picture for {SAME_S:g} s; restart the camera")

    def _ask(self, timeout_s: float) -> http.client.HTTPResponse:
        self._asked_at_s = time.monotonic()
        try:
            answer = self._opener.open(self._request, timeout=timeout_s)
        except urllib.error.HTTPError as error:
            error.close()
            raise SourceError(f"source {self.name}: {_refused(error.code)}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SourceError(f"source {self.name}: {_unreachable(error, timeout_s)}") from error
        if not isinstance(answer, http.client.HTTPResponse):
            answer.close()
            raise SourceError(f"source {self.name}: sends us on to something that is not HTTP; check the address")
        return answer

    def _whole(self, answer: http.client.HTTPResponse) -> bytes:
        """A single picture's bytes."""
        until, content = time.monotonic() + OPEN_S, bytearray()
        with contextlib.closing(answer):
            try:
                while data := answer.read1(READ_BYTES):
                    content += data
                    if len(content) > MAX_PART_BYTES:
                        raise SourceError(f"source {self.name}: a picture of more than {MAX_PART_BYTES} bytes")
                    if time.monotonic() > until:
                        raise self._lost(f"no whole picture in {OPEN_S:g} s")
            except (OSError, http.client.HTTPException) as error:
                raise self._lost("the answer broke off", error) from error
        return bytes(content)

    def _lost(self, why: str, error: BaseException | None = None) -> SourceError:
        more = "" if error is None else f" ({one_line(error)})"
        return SourceError(f"source {self.name}: {why} after {self._frames} frames{more}")


def http_source(uri: SourceUri) -> LiveSource:
    """Opens ``http://…`` or ``https://…``.

    Raises:
        SourceError: nobody there, refused, no picture there, or a certificate that does not hold.
    """
    camera = HttpCamera(uri.text, uri.path)
    return LiveSource(camera, uri.text, first_frame_s=2 * OPEN_S + READ_S, stall_s=SAME_S + READ_S)


def _asked(url: str) -> tuple[urllib.request.Request, urllib.request.OpenerDirector]:
    """The request without the login, and what sends it, with the login for this server alone.

    A password may hold brackets, which an address may not: so it is taken off before the URL is looked at.
    """
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    login, _, host = authority.rpartition("@")
    plain = f"{scheme}://{host}{slash}{path}"
    handlers: list[Any] = [urllib.request.ProxyHandler({})]
    if login:
        user, _, password = login.partition(":")
        known = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        known.add_password(None, plain, unquote(user), unquote(password))
        handlers += [urllib.request.HTTPBasicAuthHandler(known), urllib.request.HTTPDigestAuthHandler(known)]
    request = urllib.request.Request(plain, headers={"User-Agent": "fer-edge", "Accept": "multipart/*, image/*"})
    return request, urllib.request.build_opener(*handlers)


def _refused(code: int) -> str:
    if code in (401, 403):
        return f"refused ({code}); check user and password: http://user:password@host/path"
    return f"answers {code} {http.client.responses.get(code, '')}".rstrip() + "; check the address"


def _unreachable(error: BaseException, timeout_s: float) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return f"no answer in {timeout_s:g} s; check the address (is it reachable from here?)"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate does not hold ({reason.verify_message}); give it a valid one, or take http://"
    if isinstance(reason, BaseException):
        return f"{one_line(reason)}; check the address (is it reachable from here?)"
    return f"{reason}; check the address"
