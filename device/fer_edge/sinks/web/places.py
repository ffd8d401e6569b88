"""Who gets one of the few connections: a share for each address, and where all are taken the oldest idle one goes.

So a machine that opens connections and says nothing takes places from itself, and never from somebody who asks.
"""

from __future__ import annotations

import collections
import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from fer_edge.contract import bounds


@dataclass
class Place:
    """An open connection.

    Args:
        peer: see ``peer_of``.
        idle_since_s: monotonic clock; since when the client is waited for; None while it is being served.
    """

    peer: str
    idle_since_s: float | None


def peer_of(address: str) -> str:
    """Whose a connection is: an IPv4 address, or the /64 of an IPv6 one; a machine may have all of its /64."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def to_give_up(places: Iterable[Place], peer: str) -> Place | None:
    """The place that a new connection of ``peer`` takes over where all are taken; None where none is to be had.

    Its own oldest idle one where it has its share already, else the oldest idle one of whoever has most, and more
    than it.
    """
    places = list(places)
    held = collections.Counter(place.peer for place in places)
    if held[peer] >= bounds.MAX_FROM_ONE:
        shares = [peer]
    else:
        shares = [other for other, n in held.most_common() if n > held[peer]]
    for share in shares:
        waited_for = [place for place in places if place.peer == share and place.idle_since_s is not None]
        if waited_for:
            return min(waited_for, key=lambda place: place.idle_since_s or 0.0)
    return None


class Places:
    """The open connections. Nothing is kept of a client that has none."""

    refused: int
    given_up: int

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[socket.socket, Place] = {}
        self.refused = 0  # closed at once
        self.given_up = 0  # closed to make room

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, connection: socket.socket, address: str) -> bool:
        """Takes a place for a new connection; False where there is none."""
        peer = peer_of(address)
        with self._lock:
            places = self._open.values()
            if (
                len(self._open) >= bounds.MAX_CONNECTIONS
                or sum(place.peer == peer for place in places) >= bounds.MAX_FROM_ONE
            ):
                loser = to_give_up(places, peer)
                if loser is None:
                    self.refused += 1
                    return False
                self.given_up += 1
                self._cut(next(key for key, place in self._open.items() if place is loser))
            self._open[connection] = Place(peer, time.monotonic())
        return True

    def leave(self, connection: socket.socket) -> None:
        """The connection has ended."""
        with self._lock:
            self._open.pop(connection, None)

    def idle(self, connection: socket.socket) -> None:
        """From now on the client is waited for."""
        self._mark(connection, time.monotonic())

    def busy(self, connection: socket.socket) -> None:
        """The client has said what it wants, and is being served."""
        self._mark(connection, None)

    def _mark(self, connection: socket.socket, idle_since_s: float | None) -> None:
        with self._lock:
            place = self._open.get(connection)
            if place is not None:
                place.idle_since_s = idle_since_s

    def _cut(self, connection: socket.socket) -> None:
        """Wakes the connection's thread, which finds it ended."""
        del self._open[connection]
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
