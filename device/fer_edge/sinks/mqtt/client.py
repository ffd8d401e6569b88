"""A paho client that is bounded and does not die: both versions, 1.6 (Debian 12) and 2.x.

paho reads a packet of any size into memory before it looks at it, waits for ever for a broker's first answer, and its
thread ends without a word at whatever it did not expect.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fer_edge.contract import bounds
from fer_edge.errors import UsageError
from fer_edge.sinks.mqtt.settings import MqttSettings
from fer_edge.sinks.secret import first_line

PUBLISH, QOS = 0x30, 0x06  # of a packet's first byte (MQTT 3.1.1, section 3.3.1)


def make_client(settings: MqttSettings, client_id: str, on_error: Callable[[Exception, float], None]) -> Any:
    """A client that is not connected yet; its thread is paho's own, by ``loop_start``.

    Args:
        settings: that have been checked.
        client_id: among all clients of the broker.
        on_error: told of an error that would have ended the thread, and in how many s it goes on.

    Raises:
        UsageError: paho-mqtt is not installed, or a file cannot be used.
    """
    try:
        from paho.mqtt import client as paho
    except ModuleNotFoundError as error:
        raise UsageError(
            "MQTT: paho-mqtt is not installed; pip install 'fer-edge[mqtt]', or apt install python3-paho-mqtt"
        ) from error

    class Client(paho.Client):  # type: ignore[misc,unused-ignore]  # paho is not installed where mypy runs
        """See the module."""

        refused = ""  # why a packet of this connection was not read
        ended: threading.Event
        thread: threading.Thread | None = None  # that it runs in
        wait_s = bounds.FIRST_BACKOFF_S

        def _sock_recv(self, bufsize: int) -> bytes:
            packet: Any = self._in_packet
            if packet["have_remaining"]:
                if packet["remaining_length"] > bounds.PACKET_BYTES:
                    self.refused = f"{packet['remaining_length']:,} bytes in a packet"
                elif packet["command"] & 0xF0 == PUBLISH and packet["command"] & QOS:
                    self.refused = "a message to be confirmed (QoS 1 or 2), which was not asked for"
                if self.refused:
                    raise ConnectionError(self.refused)
            received: bytes = super()._sock_recv(bufsize)
            return received

        def loop_forever(self, *arguments: Any, **options: Any) -> Any:
            """As paho's, but an error is told and the connection begins anew."""
            self.thread = threading.current_thread()
            self.thread.name = "mqtt"
            while not self.ended.is_set():
                try:
                    return super().loop_forever(*arguments, **options)
                except Exception as error:
                    on_error(error, self.wait_s)
                self.ended.wait(self.wait_s)
                self.wait_s = min(2 * self.wait_s, settings.max_backoff_s)
                begin(self, settings)
            return 0

        def reconnect(self) -> Any:
            """A new connection is judged anew."""
            self.refused = ""
            return super().reconnect()

    # paho 2 asks which form of callbacks is meant; ours take both
    version = (paho.CallbackAPIVersion.VERSION2,) if hasattr(paho, "CallbackAPIVersion") else ()
    client: Any = Client(*version, client_id=client_id)
    client.ended = threading.Event()
    client.max_queued_messages_set(bounds.BACKLOG)
    if settings.username:
        password = first_line(settings.password_file, may_be_empty=True) if settings.password_file else None
        client.username_pw_set(settings.username, password)
    if settings.tls:
        client.tls_set_context(tls_context(settings))
    client.reconnect_delay_set(bounds.FIRST_BACKOFF_S, settings.max_backoff_s)
    return client


def begin(client: Any, settings: MqttSettings) -> None:
    """Says where to connect to; the client's thread does it."""
    client.connect_async(settings.host, settings.port_, settings.keepalive_s)


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
