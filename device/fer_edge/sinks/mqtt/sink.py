"""Readings over MQTT, for Home Assistant and others. paho-mqtt 1.6 (Debian 12) and 2.x both work.

The network has a thread of its own (paho's): a broker that is slow, hung or dead costs a frame nothing.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import Any

from fer_edge.errors import UsageError
from fer_edge.sinks.mqtt.discovery import (
    OFFLINE,
    ONLINE,
    Topics,
    discovery_payload,
    faces_payload,
    health_payload,
    state_payload,
)
from fer_edge.sinks.mqtt.identity import machine_id
from fer_edge.sinks.mqtt.settings import MqttSettings
from fer_edge.sinks.secret import first_line
from fer_edge.types import FrameReading, Status

log = logging.getLogger(__name__)
CHANGED_S = 0.2  # a change of the number of faces or of the expression is told at once, but not more often than this
BACKLOG = 8  # messages handed to the network and not yet sent; more are dropped
CLOSE_S = 2.0


class MqttSink:
    """Publishes what ``discovery.Topics`` lists: a state at least every ``interval_s``, never a picture.

    Args:
        settings: see there.
        labels: the classifier's.

    Raises:
        UsageError: paho-mqtt is not installed, or a setting or file that cannot be used. A broker that is not there
            is no error: it is tried again for as long as it takes.
    """

    name = "mqtt"

    def __init__(self, settings: MqttSettings, labels: tuple[str, ...]) -> None:
        self.settings, self.labels = settings, labels
        self.topics = Topics(settings.topic_prefix, settings.discovery_prefix, settings.device_id or machine_id())
        self.dropped, self.reconnects, self.connected = 0, 0, False
        self._lock = threading.Lock()  # paho's thread clears what waits when the connection ends
        self._unsent: list[Any] = []
        self._due = Due(settings.interval_s)
        self._trouble = ""  # said already
        self._ever, self._closed = False, False
        self._client = self._make_client()
        port = settings.port or (8883 if settings.tls else 1883)
        self._where = f"mqtt {settings.host}:{port}"
        self._client.connect_async(settings.host, port, settings.keepalive_s)
        self._client.loop_start()

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
        if self.connected:
            info = self._client.publish(self.topics.availability, OFFLINE, qos=1, retain=True)
            with contextlib.suppress(RuntimeError, ValueError):  # the connection ended just now
                info.wait_for_publish(CLOSE_S / 2)
        self._client.disconnect()
        # loop_stop waits for a connection attempt to end, which can take longer than anyone wants to wait
        stopping = threading.Thread(target=self._client.loop_stop, name="mqtt stop", daemon=True)
        stopping.start()
        stopping.join(CLOSE_S / 2)

    def _send(self, topic: str, payload: dict[str, Any]) -> bool:
        """Hands a message to the network; False where it is not connected or does not get rid of what it has."""
        with self._lock:
            self._unsent = [info for info in self._unsent if not info.is_published()]
            if not self.connected or len(self._unsent) >= BACKLOG:
                return False
        info = self._client.publish(topic, json.dumps(payload, ensure_ascii=False, allow_nan=False), qos=0)
        with self._lock:
            self._unsent.append(info)
        return bool(info.rc == 0)

    def _make_client(self) -> Any:
        try:
            from paho.mqtt import client as paho
        except ModuleNotFoundError as error:
            raise UsageError(
                "MQTT: paho-mqtt is not installed; pip install 'fer-edge[mqtt]', or apt install python3-paho-mqtt"
            ) from error
        settings = self.settings
        # paho 2 asks which form of callbacks is meant; ours take both
        version = (paho.CallbackAPIVersion.VERSION2,) if hasattr(paho, "CallbackAPIVersion") else ()
        client: Any = paho.Client(*version, client_id=self.topics.device_id)
        if settings.username:
            client.username_pw_set(settings.username, first_line(settings.password_file) or None)
        if settings.tls:
            client.tls_set_context(tls_context(settings))
        elif settings.password_file and settings.host not in ("localhost", "127.0.0.1", "::1"):
            log.warning("mqtt %s: the password goes unencrypted over the network; use --mqtt-tls", settings.host)
        client.will_set(self.topics.availability, OFFLINE, qos=1, retain=True)
        client.reconnect_delay_set(1, settings.max_backoff_s)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail, client.on_message = self._on_connect_fail, self._on_message
        return client

    # The callbacks run in paho's thread. What it passes differs between its versions in number and type.

    def _on_connect(self, client: Any, _: Any, __: Any, code: Any, *___: Any) -> None:
        if code != 0:
            self._say(f"refused by the broker: {_reason(code)}; check username, password and the broker's log")
            return
        if self._trouble:
            log.warning("%s: connected", self._where)
        else:
            log.info("%s: connected", self._where)
        self.reconnects += self._ever
        self._ever, self._trouble = True, ""
        with self._lock:
            self._unsent, self.connected = [], True
        client.subscribe(self.topics.home_assistant)
        self._introduce(client)

    def _introduce(self, client: Any) -> None:
        if self.settings.discovery:
            name = self.settings.device_name or f"fer-edge {socket.gethostname()}"
            document = discovery_payload(self.topics, name, self.labels, self.settings.expire_after_s)
            client.publish(self.topics.discovery, json.dumps(document, ensure_ascii=False), qos=1, retain=True)
        client.publish(self.topics.availability, ONLINE, qos=1, retain=True)
        self._due = Due(self.settings.interval_s)  # the next frame is told at once

    def _on_disconnect(self, _: Any, __: Any, *more: Any) -> None:
        code = more[0] if len(more) == 1 else more[1]
        with self._lock:
            self._unsent, was_connected, self.connected = [], self.connected, False
        if was_connected and not self._closed:
            self._say(f"connection lost ({_reason(code)}); trying again")

    def _on_connect_fail(self, *_: Any) -> None:
        error = sys.exc_info()[1]  # paho calls this while it handles the error
        reason = " ".join(str(error).split()) if error else "no reason given"
        self._say(f"cannot connect ({reason}); trying again")

    def _on_message(self, client: Any, _: Any, message: Any) -> None:
        if message.topic == self.topics.home_assistant and message.payload == b"online":
            self._introduce(client)

    def _say(self, trouble: str) -> None:
        """Once for each outage and reason, however often it is tried."""
        if trouble != self._trouble and not self._closed:
            self._trouble = trouble
            log.warning("%s: %s", self._where, trouble)


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


def tls_context(settings: MqttSettings) -> ssl.SSLContext:
    """How the connection is encrypted.

    Raises:
        UsageError: a certificate or key that cannot be used.
    """
    for path in (settings.ca_file, settings.cert_file, settings.key_file):
        if path and not Path(path).is_file():
            raise UsageError(f"mqtt: {path}: no such file; expected a certificate or key (PEM)")
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, settings.key_file or None)
    except (ssl.SSLError, OSError) as error:
        which = settings.cert_file or settings.ca_file
        raise UsageError(f"mqtt: {which}: {error.strerror or error}; expected a certificate or key (PEM)") from error
    return context


def _reason(code: Any) -> str:
    """A reason code as words: paho 2 gives an object, paho 1 a number."""
    words = {1: "unexpected end", 4: "bad username or password", 5: "not authorized", 7: "connection lost"}
    return words.get(code, f"code {code}") if isinstance(code, int) else str(code)
