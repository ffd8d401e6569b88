"""A real mosquitto, a client that hears everything, and a sink that publishes."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import web_helpers as helpers

from fer_edge.contract.labels import EMOTIONS8
from fer_edge.sinks.mqtt.settings import MqttSettings
from fer_edge.sinks.mqtt.sink import MqttSink
from fer_edge.types import FaceBox, FaceReading, Frame, FrameReading

paho = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed: pip install 'fer-edge[mqtt]'")
PASSWORD = "correct horse battery"


def a_reading(index: int = 0, *labels: str) -> FrameReading:
    """A frame with a face for each label."""
    frame = Frame(np.zeros((480, 640, 3), np.uint8), index, 0.0, "test")
    faces = []
    for i, label in enumerate(labels):
        rest = {name: 0.02 for name in EMOTIONS8}
        box = FaceBox((64.0 * i, 48.0, 64.0, 96.0), {}, 0.9)
        faces.append(FaceReading(box, label, rest | {label: 0.86}, track=i))
    return FrameReading(frame, tuple(faces))


class Broker:
    """A mosquitto of our own."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.path, self.port, self.folder = helpers.needs("mosquitto"), helpers.free_port(), folder
        self.config = folder / "mosquitto.conf"
        self.config.write_text("\n".join([f"listener {self.port} 127.0.0.1", "persistence false", *lines]) + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = (self.folder / "mosquitto.log").open("ab")
        self.process = subprocess.Popen([self.path, "-c", str(self.config)], stdout=log, stderr=log)
        helpers.until(self.answers, "mosquitto listens")

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "mosquitto.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None


class Ear:
    """A second client, like Home Assistant: hears everything, remembers what was retained."""

    def __init__(self, port: int, **options: Any) -> None:
        version = (paho.CallbackAPIVersion.VERSION2,) if hasattr(paho, "CallbackAPIVersion") else ()
        self.client: Any = paho.Client(*version)
        self.heard: list[tuple[str, str, bool]] = []
        self.news = threading.Condition()
        self.client.on_connect = lambda client, *_: client.subscribe("#")
        self.client.on_message = self._hear
        self.client.reconnect_delay_set(1, 1)
        if options.get("tls"):
            self.client.tls_set(options["tls"])
        if options.get("username"):
            self.client.username_pw_set(options["username"], PASSWORD)
        self.client.connect_async("localhost" if options.get("tls") else "127.0.0.1", port)
        self.client.loop_start()

    def _hear(self, _: Any, __: Any, message: Any) -> None:
        with self.news:
            self.heard.append((message.topic, message.payload.decode(), bool(message.retain)))
            self.news.notify_all()

    def wait(self, topic: str, accept: Callable[[str], bool] = lambda _: True, since: int = 0) -> tuple[str, bool]:
        """The first message of a topic after ``since`` that is accepted: payload, retained."""

        def found() -> list[tuple[str, bool]]:
            return [(p, r) for t, p, r in self.heard[since:] if t == topic and accept(p)]

        with self.news:
            assert self.news.wait_for(found, helpers.WAIT_S), f"{topic}: heard {self.heard[since:]}"
            return found()[0]

    def end(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def publishing(sink: MqttSink, *labels: str) -> Iterator[None]:
    """Frames, 50 a second, until the end."""
    ended, index = threading.Event(), iter(range(10**9))

    def publish() -> None:
        while not ended.wait(0.02):
            sink.publish(a_reading(next(index), *labels))

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def settings(at: int, **changes: Any) -> MqttSettings:
    base = {"host": "127.0.0.1", "port": at, "device_id": "test_1", "interval_s": 0.1, "max_backoff_s": 1}
    return MqttSettings(**(base | changes))
