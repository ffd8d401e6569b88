"""A web server's connections under limits: how many, how long a request may take to come, how much of it is read.

The standard library's server waits for ever for a slow client; this one gives each request a deadline, not each byte.
"""

from __future__ import annotations

import collections
import http.client
import io
import logging
import socket
import socketserver
import sys
import threading
import time
from typing import Any

from fer_edge.errors import UsageError

MAX_CONNECTIONS = 32
MAX_FROM_ONE = 16  # of them from one address
REQUEST_S = 10.0  # for a request's headers to come, and for a kept connection to stay idle
WRITE_S = 10.0  # for one write to be taken by the client
HEADER_BYTES = 16_384
log = logging.getLogger(__name__)


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
    """A thread a connection, and not too many of them; those over the limit are closed at once.

    Args:
        address: to listen on.
        port: to listen on, 0 for a free one.
        handler: of a connection.

    Raises:
        UsageError: it cannot listen there.
    """

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: str, port: int, handler: type[socketserver.BaseRequestHandler]) -> None:
        self._by_address: collections.Counter[str] = collections.Counter()
        self._counting = threading.Lock()
        self.refused = 0
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
        """Starts a connection's thread, or closes it where there are too many."""
        peer = str(client_address[0])
        with self._counting:
            admitted = self._by_address.total() < MAX_CONNECTIONS and self._by_address[peer] < MAX_FROM_ONE
            self._by_address[peer] += admitted
            self.refused += not admitted
        if not admitted:
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self._left(peer)
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """In the connection's thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._left(str(client_address[0]))

    def _left(self, peer: str) -> None:
        with self._counting:
            self._by_address[peer] -= 1
            if self._by_address[peer] <= 0:
                del self._by_address[peer]

    @property
    def connections(self) -> int:
        """Open now."""
        with self._counting:
            return self._by_address.total()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are none; the rest is a bug and is logged."""
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, TimeoutError)):
            log.error("web: %s: %s", type(error).__name__, error, exc_info=error)


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
        connection.settimeout(WRITE_S)


def linger(connection: socket.socket, seconds: float = 2.0, most_bytes: int = 32_000_000) -> None:
    """Reads away what a refused client still sends, so that it gets to read the refusal; within limits."""
    try:
        connection.shutdown(socket.SHUT_WR)
        until = time.monotonic() + seconds
        while most_bytes > 0 and (left_s := until - time.monotonic()) > 0:
            connection.settimeout(left_s)
            n = len(connection.recv(65_536))
            if not n:
                return
            most_bytes -= n
    except OSError:
        return
