"""Settings of MQTT."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fer_edge.contract.bounds import NAME_CHARS
from fer_edge.contract.limits import Limited, Problem, checked, within
from fer_edge.contract.redact import url

_NAME = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_HOST = re.compile(r"(?!.*\.\.)[A-Za-z0-9_.:%-]{1,253}")


def _host(value: str) -> str:
    return "" if not value or _HOST.fullmatch(value) else f"found {url(value)!r}, expected the broker's name or address"


def _topic(value: str) -> str:
    fine = _NAME.fullmatch(value) and len(value) <= NAME_CHARS
    expected = f"letters, digits, _ and -, and / between them, at most {NAME_CHARS}"
    return "" if fine else f"found {value!r}, expected {expected}"


def _device(value: str) -> str:
    fine = not value or (_NAME.fullmatch(value) and "/" not in value and len(value) <= NAME_CHARS)
    return "" if fine else f"found {value!r}, expected letters, digits, _ and -, at most {NAME_CHARS}"


def _text(value: str) -> str:
    """UTF-8 without control characters; Python's form of other bytes (lone surrogates) is none."""
    fine = len(value) <= NAME_CHARS and not re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", value)
    return "" if fine else f"found {value!r}, expected UTF-8 text in one line, at most {NAME_CHARS} characters"


@dataclass(frozen=True)
class MqttSettings(Limited):
    """The ``[mqtt]`` table.

    Args:
        host: of the broker; "" publishes nothing.
        port: of the broker; 0 takes 1883, or 8883 with TLS.
        username: for the broker; "" for none.
        password_file: file whose first line is the password; an empty line is an empty password.
        tls: encrypt, and check the broker's certificate and name.
        ca_file: certificate authority to trust in place of the system's.
        cert_file: own certificate, where the broker asks for one.
        key_file: its key.
        topic_prefix: before everything that is published.
        discovery: tell Home Assistant of this device.
        discovery_prefix: Home Assistant's own.
        device_id: unique among all devices of the broker; "" makes one from this machine and from the configuration's
            name, or the source where a flag says it, so that several instances differ.
        device_name: for people; "" takes the host's name and that of the instance.
        camera_switch: listen for ON and OFF for the camera; whoever may publish to the broker then has the switch.
        interval_s: between two states while nothing changes.
        expire_after_s: after so long without a state Home Assistant takes it for unknown.
        keepalive_s: after about so long the broker notices that the device is gone.
        max_backoff_s: longest time between two tries to connect; the first is 1 s, then it doubles.
    """

    host: str = checked("", _host)
    port: int = within(0, 0, 65535)
    username: str = checked("", _text)
    password_file: str = ""
    tls: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    topic_prefix: str = checked("fer-edge", _topic)
    discovery: bool = True
    discovery_prefix: str = checked("homeassistant", _topic)
    device_id: str = checked("", _device)
    device_name: str = checked("", _text)
    camera_switch: bool = False
    interval_s: float = within(1.0, 0.05, 86400, "s")
    expire_after_s: int = within(30, 1, 86400, "s")
    keepalive_s: int = within(20, 5, 65535, "s")
    max_backoff_s: int = within(60, 1, 86400, "s")

    @property
    def port_(self) -> int:
        """The port, after the default."""
        return self.port or (8883 if self.tls else 1883)

    def conflicts(self) -> Iterator[Problem]:
        """A password or a certificate that nothing would use."""
        if self.password_file and not self.username:
            yield "password_file", "given without mqtt.username; give both"
        for key in ("ca_file", "cert_file"):
            if getattr(self, key) and not self.tls:
                yield key, "certificates are given but mqtt.tls is off; turn it on"
        if self.key_file and not self.cert_file:
            yield "key_file", "a key without mqtt.cert_file; give both"
