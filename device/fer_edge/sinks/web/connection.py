"""A web server's connections under limits: how many, how long a request may take to come, how much of it is read.

The standard library's server waits for ever for a slow client; this one gives each request a deadline, not each byte.
"""

from __future__ import annotations

import http.client
import io
import socket
import socketserver
import sys
import threading
import time
from typing import Any

from fer_edge.contract import bounds
from fer_edge.errors import UsageError
from fer_edge.program import threads
from fer_edge.sinks.web.places import Places


class TooMuch(http.client.HTTPException):  # an ending, named for what it is
    """More came than may."""


class DeadlineReader(io.RawIOBase):
    """Reads a socket until a deadline, and no more than allowed.

    Raises:
        TimeoutError: the deadline is over, however the bytes trickle in.
        TooMuch: more was asked for than allowed.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._left, self._until_s = connection, 0, 0.0

    def allow(self, n_bytes: int, seconds: float) -> None:
        """Allows the next ``n_bytes`` within ``seconds``."""
        self._left, self._until_s = n_bytes, time.monotonic() + seconds

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As of any raw stream."""
        left_s = self._until_s - time.monotonic()
        if self._left <= 0:
            raise TooMuch("more than allowed")
        if left_s <= 0:
            raise TimeoutError("the request took too long to come")
        self._connection.settimeout(left_s)
        n = self._connection.recv_into(memoryview(buffer)[: self._left])
        self._left -= n
        return n


class LimitedServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A thread for each connection, and as many as there are places; see ``places``.

    Args:
        address: to listen on.
        port: to listen on, 0 for a free one.
        handler: of a connection.

    Raises:
        UsageError: it cannot listen there.
    """

    places: Places

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: str, port: int, handler: type[socketserver.BaseRequestHandler]) -> None:
        self.places = Places()
        try:
            found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            self.address_family = found[0][0]
            super().__init__((address, port), handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(
                f"web {address}:{port}: {why}; expected an address of this machine and a free port"
            ) from error

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts a connection's thread, or closes it where it gets no place."""
        if not self.places.enter(request, str(client_address[0])):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self.places.leave(request)
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """In the connection's thread."""
        threading.current_thread().name = "web connection"
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.leave(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are none; the rest is a bug and is logged."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, (ConnectionError, TimeoutError)):
            threads.met("web connection", error, "the next one is taken")


def has_gone(connection: socket.socket) -> bool:
    """Whether the client has closed the connection; does not wait."""
    try:
        connection.settimeout(0)
        return connection.recv(1, socket.MSG_PEEK) == b""
    except (BlockingIOError, InterruptedError):
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(bounds.WRITE_S)


def linger(connection: socket.socket) -> None:
    """Reads away what a refused client still sends, so that it gets to read the refusal; within limits."""
    most_bytes = bounds.LINGER_BYTES
    try:
        connection.shutdown(socket.SHUT_WR)
        until = time.monotonic() + bounds.LINGER_S
        while most_bytes > 0 and (left_s := until - time.monotonic()) > 0:
            connection.settimeout(left_s)
            n = len(connection.recv(65_536))
            if not n:
                return
            most_bytes -= n
    except OSError:
        return
