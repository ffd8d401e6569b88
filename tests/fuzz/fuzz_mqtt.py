"""What a broker, or somebody in its place, may send: each connection gets packets, broken or not, and then is asked.

Promised: the client goes on (it answers the question, or connects anew), says at most one traceback in its life, and
its camera's switch is used by nothing but a message to its topic.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from damage import damage_bytes, one_of
from fuzz_http import Records
from harness import Case, Fault

from fer_edge.contract import bounds
from fer_edge.contract.labels import EMOTIONS8
from fer_edge.program import threads
from fer_edge.sinks.mqtt import trouble
from fer_edge.sinks.mqtt.settings import MqttSettings
from fer_edge.sinks.mqtt.sink import MqttSink

SILENT = True
WAIT_S = 60.0  # for a client on a busy machine
QUIET_S = 0.02  # a client that has not answered by then waits for the rest of a broken packet
TOPICS = (
    *(b"homeassistant/status", b"fer-edge/fuzz_1/camera/set", b"fer-edge/fuzz_1/run", b"", b"#", b"$SYS/x"),
    *(b"caf\xe9", b"a\0b", b"x" * 900, b"fer-edge/fuzz_1/availability", b"\xed\xa0\x80"),
)
PAYLOADS = (
    *(b"online", b"offline", b"ON", b"OFF", b"", b"\xff\xfe", b"x" * 1000, b"x" * 2000, b"{", b"null", b"\0" * 20),
    *(b'{"host": 1}', b'{"host": "\\ud800"}', b"[" * 500, b"9" * 5000, b"a b c", b"host 1 2 3", b"\x1b[2J"),
)
QUESTION = b"\x30\x1c\0\x14homeassistant/statusonline"


def packet(first: int, body: bytes, length: int | None = None) -> bytes:
    """With its length, or one that is given."""
    n, digits = len(body) if length is None else length, b""
    while True:
        n, digit = divmod(n, 128)
        digits += bytes([digit | (0x80 if n else 0)])
        if not n:
            return bytes([first]) + digits + body


def packets(rng: np.random.Generator) -> bytes:
    """One to four packets that a broker may send, right in most of their parts."""
    made = b""
    for _ in range(int(rng.integers(1, 5))):
        topic, payload = one_of(rng, TOPICS), one_of(rng, PAYLOADS)
        named = struct.pack(">H", len(topic)) + topic
        kind, flags = int(rng.integers(0, 10)), int(rng.choice([0, 1, 2, 3, 4, 6, 8, 15]))
        number = struct.pack(">H", int(rng.choice([0, 1, 2, 65535])))
        if kind <= 4:
            made += packet(0x30 | flags, named + (number if flags & 6 else b"") + payload)
        elif kind == 5:
            made += packet(
                int(rng.choice([0x40, 0x50, 0x62, 0x70, 0x90, 0xB0, 0xD0])) | (flags if flags < 4 else 0), number
            )
        elif kind == 6:
            made += packet(0x90, number + rng.bytes(int(rng.integers(0, 6))))
        elif kind == 7:
            made += packet(0x20, rng.bytes(int(rng.integers(0, 5))))
        elif kind == 8:
            made += packet(0x30 | flags, named, int(rng.choice([0, 1, 127, 128, 1023, 1025, 65536, 268_435_455])))
        else:
            made += bytes([int(rng.integers(0, 256))]) + b"\xff" * int(rng.integers(0, 6)) + rng.bytes(3)
    return damage_bytes(rng, made, 60, 4) if rng.integers(0, 2) else made


@contextmanager
def cases(folder: Path) -> Iterator[Case]:
    bounds.FIRST_BACKOFF_S, bounds.INTRODUCE_S = 0.001, 0.0  # type: ignore[assignment]
    trouble.SHORT_TIMES = 1_000_000_000  # no slower tries where each connection is short
    records, switched = Records(), queue.SimpleQueue[bool]()
    logging.getLogger("fer_edge").addHandler(records)
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(WAIT_S)
    settings = MqttSettings(
        host="127.0.0.1", port=server.getsockname()[1], device_id="fuzz_1", max_backoff_s=1, camera_switch=True
    )
    object.__setattr__(settings, "max_backoff_s", 0.01)  # a foreign mark makes it slow, as it should
    sink = MqttSink(settings, EMOTIONS8, switch=switched.put)
    tracebacks, before = 0, b""

    def case(rng: np.random.Generator, _: int) -> str:
        nonlocal tracebacks, before
        errors = sink.errors
        with server.accept()[0] as client:
            client.settimeout(WAIT_S)
            answer = packets(rng)
            taken = b"\x20\x02\0\0\x90\x05\0\x01\0\0\0" if rng.integers(0, 8) else b""
            ending = "closed"
            with contextlib.suppress(ConnectionError):
                client.recv(4096)
                client.sendall(taken + answer + QUESTION)
                ending = _asked(client)
        if sink.is_dead or "mqtt" in threads.dead():
            raise Fault(f"its thread has ended after {answer[:300]!r}")
        while not switched.empty():
            switched.get()
            sent = before + answer  # what came last of the connection before may be read only now
            if b"fer-edge/fuzz_1/camera/set" not in sent or not (b"ON" in sent or b"OFF" in sent):
                raise Fault(f"the camera was switched by {answer[:300]!r}")
        before = answer
        tracebacks += sum("Traceback" in text for text in records.said)
        records.said.clear()
        if tracebacks > 1:
            raise Fault(f"a second traceback in its log after {answer[:300]!r}")
        return "unexpected, begun anew" if sink.errors > errors else ending

    try:
        yield case
    finally:
        server.close()
        sink.close()


def _asked(client: socket.socket) -> str:
    """Whether the client answers what was asked last, leaves, or waits for the rest of a packet."""
    found = b""
    client.settimeout(QUIET_S)
    while True:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)  # or the next small packet waits for 40 ms
        try:
            part = client.recv(65536)
        except TimeoutError:
            return "waits for more" if found.count(b"/config") < 2 else "answered"
        if not part:
            return "closed"
        found += part
        if found.count(b"fuzz_1/config") >= 2:  # the introduction, and the one that was asked for
            return "answered"
