"""Settings of MQTT."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fer_edge.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")


@dataclass(frozen=True)
class MqttSettings:
    """The ``[mqtt]`` table.

    Args:
        host: of the broker; "" publishes nothing.
        port: of the broker; 0 takes 1883, or 8883 with TLS.
        username: for the broker; "" for none.
        password_file: file whose first line is the password.
        tls: encrypt, and check the broker's certificate and name.
        ca_file: certificate authority to trust in place of the system's.
        cert_file: own certificate, where the broker asks for one.
        key_file: its key.
        topic_prefix: before everything that is published.
        discovery: tell Home Assistant of this device.
        discovery_prefix: Home Assistant's own.
        device_id: unique among all devices of the broker; "" makes one from this machine's id.
        device_name: for people; "" takes the host's name.
        interval_s: between two states while nothing changes.
        expire_after_s: after so long without a state Home Assistant takes it for unknown.
        keepalive_s: after about so long the broker notices that the device is gone.
        max_backoff_s: longest time between two tries to connect; the first is 1 s, then it doubles.
    """

    host: str = ""
    port: int = 0
    username: str = ""
    password_file: str = ""
    tls: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    topic_prefix: str = "fer-edge"
    discovery: bool = True
    discovery_prefix: str = "homeassistant"
    device_id: str = ""
    device_name: str = ""
    interval_s: float = 1.0
    expire_after_s: int = 30
    keepalive_s: int = 20
    max_backoff_s: int = 60


def checked(settings: MqttSettings) -> MqttSettings:
    """The settings, if they can be used.

    Raises:
        UsageError: says which cannot, and why.
    """
    for key in ("topic_prefix", "discovery_prefix", "device_id"):
        value = getattr(settings, key)
        if not _NAME.fullmatch(value) and (value or key != "device_id"):
            raise UsageError(f"mqtt.{key}: found {value!r}, expected letters, digits, _ and - (and / between them)")
    if "/" in settings.device_id:
        raise UsageError(f"mqtt.device_id: found {settings.device_id!r}, expected letters, digits, _ and -")
    if not re.fullmatch(r"[A-Za-z0-9_.:%-]{1,253}", settings.host) or ".." in settings.host:
        raise UsageError(f"mqtt.host: found {settings.host!r}, expected the broker's name or address")
    if not 0 <= settings.port <= 65535:
        raise UsageError(f"mqtt.port: found {settings.port}, expected 1 to 65535, or 0")
    for key, low in (("interval_s", 0.05), ("expire_after_s", 1), ("keepalive_s", 5), ("max_backoff_s", 1)):
        if not low <= getattr(settings, key) <= 86400:
            raise UsageError(f"mqtt.{key}: found {getattr(settings, key)}, expected {low:g} to 86400")
    if settings.password_file and not settings.username:
        raise UsageError("mqtt.password_file: given without mqtt.username; give both")
    if (settings.ca_file or settings.cert_file) and not settings.tls:
        raise UsageError("mqtt.ca_file: certificates are given but mqtt.tls is off; turn it on")
    return settings
