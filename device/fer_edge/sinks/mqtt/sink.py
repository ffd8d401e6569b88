"""Readings over MQTT, for Home Assistant and others. paho-mqtt 1.6 (Debian 12) and 2.x both work.

The network has a thread of its own (paho's): a broker that is slow, hung or dead costs a frame nothing.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from fer_edge.contract import bounds
from fer_edge.program import threads
from fer_edge.sinks.encode import to_json
from fer_edge.sinks.mqtt import identity
from fer_edge.sinks.mqtt.client import begin, make_client
from fer_edge.sinks.mqtt.discovery import (
    OFFLINE,
    ONLINE,
    Device,
    Topics,
    discovery_payload,
    faces_payload,
    health_payload,
    state_payload,
)
from fer_edge.sinks.mqtt.settings import MqttSettings
from fer_edge.sinks.mqtt.trouble import Trouble
from fer_edge.sinks.running import Running
from fer_edge.types import FrameReading, Status

log = logging.getLogger(__name__)
CHANGED_S = 0.2  # a change of the number of faces or of the expression is told at once, but not more often than this
CLOSE_S = 2.0


class MqttSink:
    """Publishes what ``discovery.Topics`` lists: a state at least every ``interval_s``, never a picture.

    Args:
        settings: see there.
        labels: the classifier's.
        running: what reads; None tells Home Assistant of no model.
        page: address of the web page, where other machines reach it; "" for none.
        switch: turns the camera on (True) or off; None where there is none.
        key: tells this instance from others on this machine; see ``identity.instance_key``.

    Raises:
        UsageError: paho-mqtt is not installed, or a setting or file that cannot be used. A broker that is not there
            is no error: it is tried again for as long as it takes.
    """

    settings: MqttSettings
    labels: tuple[str, ...]
    topics: Topics
    device: Device
    dropped: int
    reconnects: int
    errors: int
    connected: bool

    name = "mqtt"

    def __init__(
        self,
        settings: MqttSettings,
        labels: tuple[str, ...],
        running: Running | None = None,
        key: str = "",
        page: str = "",
        switch: Callable[[bool], None] | None = None,
    ) -> None:
        self.settings, self.labels = settings, labels
        device_id = settings.device_id or identity.device_id(key)
        self.topics = Topics(settings.topic_prefix, settings.discovery_prefix, device_id)
        self._switch = switch if settings.camera_switch else None
        self.device = Device(settings.device_name or _default_name(key), running, page, self._switch is not None)
        self.dropped, self.reconnects, self.errors, self.connected = 0, 0, 0, False
        self._lock = threading.Lock()  # paho's thread clears what waits when the connection ends
        self._unsent: list[Any] = []
        self._due = Due(settings.interval_s)
        self._introduced_s = float("-inf")
        self._where = f"mqtt {settings.host}:{settings.port_}"
        self._trouble = Trouble(self._where, device_id, log)
        self._mark, self._hears, self._cut = identity.new_mark(), True, ""
        self._answer: threads.OnceThread | None = None
        self._connected_s = 0.0
        self._ever, self._closed = False, False
        self._client = self._make_client()
        begin(self._client, settings)
        self._client.loop_start()
        threads.watch(self)

    @property
    def is_dead(self) -> bool:
        """Whether paho's thread has ended although nobody told it to."""
        thread = self._client.thread
        return not (self._closed or thread is None or thread.is_alive())

    def publish(self, reading: FrameReading) -> None:
        """Publishes the frame's state, if it is time for one."""
        if self._closed:
            return
        state = state_payload(reading)
        if self._due(time.monotonic(), (state["faces"], state["expression"])) and not (
            self._send(self.topics.state, state) and self._send(self.topics.faces, faces_payload(reading))
        ):
            self.dropped += 1

    def status(self, status: Status) -> None:
        """Publishes how the device is doing."""
        if not self._closed:
            self._send(self.topics.health, health_payload(status))

    def close(self) -> None:
        """Says offline and disconnects, in at most about 2 s; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        threads.unwatch(self)
        self._client.ended.set()
        self._stop_waiting()
        if self.connected:
            info = self._client.publish(self.topics.availability, OFFLINE, qos=1, retain=True)
            with contextlib.suppress(RuntimeError, ValueError):  # the connection ended just now
                info.wait_for_publish(CLOSE_S / 2)
        self._client.disconnect()
        # loop_stop waits for a connection attempt to end, which can take longer than anyone wants to wait
        stopping = threads.OnceThread("mqtt stop", self._client.loop_stop)
        stopping.start()
        stopping.join(CLOSE_S / 2)

    def _send(self, topic: str, payload: dict[str, Any]) -> bool:
        """Hands a message to the network; False where it is not connected or does not get rid of what it has."""
        with self._lock:
            self._unsent = [info for info in self._unsent if not info.is_published()]
            if not self.connected or len(self._unsent) >= bounds.BACKLOG:
                return False
        info = self._client.publish(topic, to_json(payload), qos=0)
        with self._lock:
            self._unsent.append(info)
        return bool(info.rc == 0)

    def _make_client(self) -> Any:
        settings = self.settings
        client = make_client(settings, self.topics.device_id, self._on_error)
        if settings.password_file and not settings.tls and settings.host not in ("localhost", "127.0.0.1", "::1"):
            log.warning("mqtt %s: the password goes unencrypted over the network; use --mqtt-tls", settings.host)
        client.will_set(self.topics.availability, OFFLINE, qos=1, retain=True)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail, client.on_message = self._on_connect_fail, self._on_message
        client.on_socket_open = self._on_socket_open
        return client

    # The callbacks run in paho's thread. What it passes differs between its versions in number and type.

    def _on_socket_open(self, _: Any, __: Any, connection: socket.socket) -> None:
        """A broker that takes the connection has to answer; paho itself would wait for ever."""
        self._stop_waiting()

        def end() -> None:
            self._cut = f"no answer in {bounds.CONNACK_S:g} s"
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

        self._cut = ""
        self._answer = threads.OnceThread("mqtt answer", end, bounds.CONNACK_S)
        self._answer.start()

    def _stop_waiting(self) -> None:
        if self._answer is not None:
            self._answer.cancel()

    def _on_connect(self, client: Any, _: Any, __: Any, code: Any, *___: Any) -> None:
        self._stop_waiting()
        if code != 0:
            self._trouble.refused(code)
            return
        self._trouble.connected()
        self.reconnects += self._ever
        with self._lock:
            self._unsent, self.connected = [], True
        self._connected_s = time.monotonic()
        client.wait_s = bounds.FIRST_BACKOFF_S
        if self._hears:
            heard = (self.topics.home_assistant, self.topics.mark, *((self.topics.switch,) if self._switch else ()))
            client.subscribe([(topic, 0) for topic in heard])
        client.publish(self.topics.mark, self._mark, qos=1, retain=True)
        self._introduce(client)

    def _introduce(self, client: Any) -> None:
        if self.settings.discovery:
            document = discovery_payload(self.topics, self.device, self.labels, self.settings.expire_after_s)
            client.publish(self.topics.discovery, to_json(document), qos=1, retain=True)
        client.publish(self.topics.availability, ONLINE, qos=1, retain=True)
        self._due = Due(self.settings.interval_s)  # the next frame is told at once

    def _on_disconnect(self, client: Any, __: Any, *more: Any) -> None:
        self._stop_waiting()
        code = more[0] if len(more) == 1 else more[1]
        with self._lock:
            self._unsent, was_connected, self.connected = [], self.connected, False
        if self._closed:
            return
        if was_connected:
            self._ever = True
        self._trouble.ended(code, client.refused or self._cut)
        if client.refused and was_connected and self._hears:
            # it would come again with every connection, and nothing that we hear is needed
            self._hears = False
            self._trouble.say(
                f"somebody publishes to what is listened to here ({self.topics.home_assistant}) {client.refused}, "
                f"expected at most {bounds.PACKET_BYTES}; no longer listening to it"
            )
        self._pace(client)

    def _pace(self, client: Any) -> None:
        """Two with the same id must not fight every second."""
        slowest = self.settings.max_backoff_s
        lasted = time.monotonic() - self._connected_s
        fights = self._trouble.clashes and lasted < 2 * slowest
        client.reconnect_delay_set(slowest if fights else bounds.FIRST_BACKOFF_S, slowest)

    def _on_connect_fail(self, *_: Any) -> None:
        if not self._closed:
            self._trouble.failed()

    def _on_message(self, client: Any, _: Any, message: Any) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # not one of those that we listen to
            return
        now_s = time.monotonic()
        if topic == self.topics.home_assistant and message.payload == b"online":
            if now_s - self._introduced_s >= bounds.INTRODUCE_S:
                self._introduced_s = now_s
                self._introduce(client)
        elif topic == self.topics.switch and self._switch is not None:
            if message.payload in (b"ON", b"OFF") and not message.retain:  # a kept one would be obeyed at every start
                self._switch(message.payload == b"ON")
        elif topic == self.topics.mark and message.payload != self._mark.encode():
            # at the first connection it is that of the run before, unless that runs still and comes back
            host = identity.host_of_mark(message.payload)
            if host and (self._ever or not message.retain):
                self._trouble.clash(f"another fer-edge, on {host},")

    def _on_error(self, error: Exception, wait_s: float) -> None:
        """Something that would have ended paho's thread."""
        self.errors += 1
        threads.count(self.name)
        with self._lock:
            self._unsent, self.connected = [], False
        if not self._closed:
            text = f"{type(error).__name__}: {error}"
            if self.errors == 1:
                log.error("%s: %s; connecting anew in %g s", self._where, text, wait_s, exc_info=error)
            else:
                self._trouble.say(f"what came could not be read ({text}); connecting anew")


class Due:
    """Says when a state is to be told: every ``interval_s``, and at a change, but then not twice in ``CHANGED_S``."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s, self._last_s, self._told = interval_s, float("-inf"), object()

    def __call__(self, now_s: float, what: object) -> bool:
        """True (and remembered) if ``what`` is to be told now."""
        wait_s = self._interval_s if what == self._told else min(CHANGED_S, self._interval_s)
        if now_s - self._last_s < wait_s:
            return False
        self._last_s, self._told = now_s, what
        return True


def _default_name(key: str) -> str:
    host = socket.gethostname().encode("utf-8", "replace").decode()
    return f"fer-edge {host} ({identity.short_name(key)})" if key else f"fer-edge {host}"
