"""Who gets a connection where there are few: real sockets from several addresses, and the choice alone."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest
import web_helpers as helpers

from fer_edge.contract import bounds
from fer_edge.sinks.web.places import Place, peer_of, to_give_up


def connect(port: int, address: str) -> socket.socket:
    """As a client with another address of 127.0.0.0/8."""
    return socket.create_connection(("127.0.0.1", port), timeout=helpers.WAIT_S, source_address=(address, 0))


def status_of(port: int, address: str) -> int:
    """0 where the connection was closed without an answer."""
    with contextlib.suppress(OSError), connect(port, address) as client:
        client.sendall(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        words = client.recv(65536).split()
        return int(words[1]) if words else 0
    return 0


@pytest.mark.bound("MAX_CONNECTIONS")
def test_two_addresses_with_slow_connections_do_not_block_a_third() -> None:
    with helpers.site() as web:
        ended, slow = threading.Event(), dict[tuple[str, int], socket.socket]()

        def crowd(address: str) -> None:  # opens each again as soon as it is closed
            while not ended.is_set():
                for number in range(bounds.MAX_FROM_ONE):
                    client = slow.get((address, number))
                    try:
                        if client is None:
                            client = slow[address, number] = connect(web.port, address)
                            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
                            client.settimeout(0)
                        elif client.recv(1, socket.MSG_PEEK) == b"":
                            raise ConnectionResetError
                    except BlockingIOError:
                        continue
                    except OSError:
                        if client is not None:
                            client.close()
                        slow.pop((address, number), None)
                time.sleep(0.01)

        threads = [threading.Thread(target=crowd, args=(address,)) for address in ("127.0.0.2", "127.0.0.3")]
        for thread in threads:
            thread.start()
        try:
            helpers.until(lambda: len(web._server.places) == bounds.MAX_CONNECTIONS, "all places are taken")
            assert [status_of(web.port, "127.0.0.4") for _ in range(104)] == [200] * 104
        finally:
            ended.set()
            for thread in threads:
                thread.join()
            for client in slow.values():
                client.close()


def test_refused_clients_that_linger_do_not_block_anybody() -> None:
    """A refusal waits for its reader; a form that anybody may send waits for its content."""
    post = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n"
    for content in (b"BREW / HTTP/1.1\r\n\r\n", post):
        with helpers.site() as web, contextlib.ExitStack() as stack:
            for number in range(2 * bounds.MAX_FROM_ONE):
                client = stack.enter_context(connect(web.port, f"127.0.0.{2 + number % 2}"))
                client.sendall(content)
            helpers.until(lambda web=web: len(web._server.places) == bounds.MAX_CONNECTIONS, "all taken")  # type: ignore[misc]
            assert status_of(web.port, "127.0.0.4") == 200


def test_nothing_is_kept_of_refused_or_past_peers() -> None:
    with helpers.site(max_viewers=32) as web, contextlib.ExitStack() as stack:
        places = web._server.places
        for number in range(bounds.MAX_CONNECTIONS):  # streams: served, so they are not given up
            viewer = stack.enter_context(connect(web.port, f"127.0.1.{1 + number}"))
            viewer.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert viewer.recv(15) == b"HTTP/1.1 200 OK"
        for number in range(100):
            assert status_of(web.port, f"127.0.2.{1 + number}") == 0
        assert places.refused == 100
        assert {place.peer for place in places._open.values()} == {f"127.0.1.{1 + n}" for n in range(32)}
        stack.close()
        helpers.until(lambda: len(places) == 0, "viewers are gone")
        assert vars(places)["_open"] == {}


def crowd_of(*rows: tuple[str, float | None]) -> list[Place]:
    return [Place(peer, idle) for peer, idle in rows]


@pytest.mark.parametrize(
    ("places", "peer", "loser"),
    [
        ([("a", 3.0), ("a", 1.0), ("b", 0.0)], "c", 1),  # the oldest idle of who has most
        ([("a", None), ("a", None), ("b", 5.0)], "c", 2),  # who is being served stays
        ([("a", None), ("a", 9.0), ("b", 1.0)], "c", 1),
        ([("a", 3.0), ("b", 1.0)], "c", 0),  # both have one, the newcomer none: either
        ([("a", 3.0), ("b", None)], "b", None),  # nobody has more than it has
        ([("a", None), ("b", None)], "c", None),
        ([("a", 2.0)] * 15 + [("a", 1.0)], "a", 15),  # its share is used up: its own
        ([("a", None)] * 16, "a", None),
    ],
)
def test_who_has_to_go(places: list[tuple[str, float | None]], peer: str, loser: int | None) -> None:
    crowd = crowd_of(*places)
    assert to_give_up(crowd, peer) is (None if loser is None else crowd[loser])


def test_an_address_is_what_one_machine_has() -> None:
    assert peer_of("192.0.2.7") == peer_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert peer_of("2001:db8:0:1::1") == peer_of("2001:db8:0:1:ffff::2%eth0") == "2001:db8:0:1::/64"
    assert peer_of("2001:db8:0:2::1") != peer_of("2001:db8:0:1::1")
    assert peer_of("odd") == "odd"
