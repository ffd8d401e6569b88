"""What goes over MQTT: topics, Home Assistant's device discovery, and the state. Pure functions; no picture in any.

Source of the formats: https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from fer_edge import __version__
from fer_edge.contract.reading import wall_time
from fer_edge.sinks.running import Running
from fer_edge.sinks.summary import summarize_faces
from fer_edge.types import FrameReading, Status

ONLINE, OFFLINE = "online", "offline"
URL = "https://github.com/fer-edge/fer-edge"


@dataclass(frozen=True)
class Topics:
    """Where things are published; ``device_id`` is letters, digits, ``_`` and ``-``."""

    prefix: str
    discovery_prefix: str
    device_id: str

    @property
    def base(self) -> str:
        """Of this device."""
        return f"{self.prefix}/{self.device_id}"

    @property
    def availability(self) -> str:
        """``online`` or ``offline``, retained; the broker itself says offline when the device is gone."""
        return f"{self.base}/availability"

    @property
    def state(self) -> str:
        """The frame as a whole, not retained."""
        return f"{self.base}/state"

    @property
    def faces(self) -> str:
        """A list with the faces of the same frame, not retained."""
        return f"{self.base}/faces"

    @property
    def mark(self) -> str:
        """Which run publishes here, retained; another one with the same id is noticed by it."""
        return f"{self.base}/run"

    @property
    def health(self) -> str:
        """How the device is doing, not retained."""
        return f"{self.base}/health"

    @property
    def switch(self) -> str:
        """Where ON or OFF for the camera is listened to, if the settings say so."""
        return f"{self.base}/camera/set"

    @property
    def discovery(self) -> str:
        """Home Assistant's description of the device, retained."""
        return f"{self.discovery_prefix}/device/{self.device_id}/config"

    @property
    def home_assistant(self) -> str:
        """Where Home Assistant says that it (re)started."""
        return f"{self.discovery_prefix}/status"


@dataclass(frozen=True)
class Device:
    """What Home Assistant shows of the device.

    Args:
        name: for people.
        running: what reads; None for nothing said.
        page: address of the web page, where other machines reach it; "" for none.
        can_switch: the camera can be switched on and off.
    """

    name: str
    running: Running | None = None
    page: str = ""
    can_switch: bool = False

    def to_doc(self, device_id: str) -> dict[str, Any]:
        """The ``dev`` part of a discovery."""
        running = self.running
        model = "fer-edge" if running is None else f"{running.model} {running.variant}, {running.detector}"
        version = __version__ if running is None else f"{__version__} (model {running.model_version})"
        doc = {"ids": [device_id], "name": self.name, "mf": "fer-edge", "mdl": model, "sw": version}
        return doc | ({"cu": self.page} if self.page else {})


def discovery_payload(topics: Topics, device: Device, labels: tuple[str, ...], expire_after_s: int) -> dict[str, Any]:
    """The device and its entities, as Home Assistant's device discovery takes them.

    Args:
        topics: where states come from.
        device: what is shown of it.
        labels: the classifier's, the options of the expression.
        expire_after_s: after so long without a state an entity is unavailable.
    """

    def sensor(key: str, called: str, topic: str, template: str, **more: Any) -> dict[str, Any]:
        entity: dict[str, Any] = {
            "p": "sensor",
            "unique_id": f"{topics.device_id}_{key}",
            "name": called,
            "state_topic": topic,
            "value_template": template,
            "expire_after": expire_after_s,
        }
        return entity | more

    health: dict[str, Any] = {"entity_category": "diagnostic"}
    measured = {"state_class": "measurement"}
    value = "{{{{ value_json.{} }}}}".format
    components = {
        "faces": sensor("faces", "Faces", topics.state, value("faces"), icon="mdi:account-multiple", **measured),
        "expression": sensor(
            "expression",
            "Expression",
            topics.state,
            value("expression"),
            icon="mdi:emoticon-outline",
            device_class="enum",
            options=["none", *labels],
            json_attributes_topic=topics.faces,
        ),
        "present": {
            **sensor(
                "present",
                "Face present",
                topics.state,
                "{{ 'ON' if value_json.faces | int(0) > 0 else 'OFF' }}",
                device_class="occupancy",
            ),
            "p": "binary_sensor",
        },
        "captured": sensor("captured", "Captured", topics.state, value("time"), device_class="timestamp", **health),
        "probability": sensor(
            "probability",
            "Probability",
            topics.state,
            value("probability_percent"),
            unit_of_measurement="%",
            **measured,
        ),
        "fps": sensor("fps", "Frames per second", topics.health, value("fps"), **measured, **health),
        "frame_age": sensor(
            "frame_age",
            "Frame age",
            topics.health,
            value("frame_age_s"),
            device_class="duration",
            unit_of_measurement="s",
            **measured,
            **health,
        ),
        "temperature": sensor(
            "temperature",
            "Temperature",
            topics.health,
            value("temperature_c"),
            device_class="temperature",
            unit_of_measurement="°C",
            **measured,
            **health,
        ),
        "camera": sensor(
            "camera",
            "Camera state",
            topics.health,
            value("state"),
            device_class="enum",
            options=["running", "waiting", "stopped"],
            **health,
        ),
        "throttled": {
            **sensor("throttled", "Throttled", topics.health, value("throttled"), device_class="problem", **health),
            "p": "binary_sensor",
        },
    }
    if device.can_switch:
        components["switch"] = {
            "p": "switch",
            "unique_id": f"{topics.device_id}_switch",
            "name": "Camera",
            "icon": "mdi:camera",
            "command_topic": topics.switch,
            "state_topic": topics.health,
            "value_template": "{{ 'OFF' if value_json.state == 'stopped' else 'ON' }}",
        }
    return {
        "dev": device.to_doc(topics.device_id),
        "o": {"name": "fer-edge", "sw": __version__, "url": URL},
        "cmps": components,
        "availability_topic": topics.availability,
        "payload_available": ONLINE,
        "payload_not_available": OFFLINE,
        "qos": 0,
    }


def state_payload(reading: FrameReading) -> dict[str, Any]:
    """The frame as a whole; ``expression`` is "none" without a face. Times as in the reading's schema."""
    summary = summarize_faces(reading.faces)
    return {
        "faces": summary.faces,
        "expression": summary.dominant or "none",
        "probability_percent": None if summary.probability is None else round(100 * summary.probability, 1),
        "probabilities": {name: round(p, 4) for name, p in summary.probabilities.items()},
        "counts": summary.counts,
        "zones": dict(Counter(face.zone for face in reading.faces if face.zone is not None)),
        "frame_index": reading.frame.index,
        "time": None if reading.captured_unix_s is None else wall_time(reading.captured_unix_s),
        "t_media_s": None if reading.frame.t_media_s is None else round(reading.frame.t_media_s, 3),
        "damaged": bool(reading.frame.damaged),
    }


def faces_payload(reading: FrameReading) -> dict[str, Any]:
    """The faces one by one: number, place as fractions of the picture, expression. No landmarks, no picture."""
    height, width = reading.frame.image.shape[:2]
    faces = []
    for face in reading.faces:
        x, y, w, h = face.face.box
        faces.append(
            {
                "track": face.track,
                "expression": face.label,
                "probability_percent": round(100 * face.probabilities[face.label], 1),
                "uncertain": bool(face.uncertain),
                **({} if face.zone is None else {"zone": face.zone}),
                **({} if face.shift is None else {"shift": {name: round(v, 2) for name, v in face.shift.items()}}),
                "box": [round(v, 3) for v in (x / width, y / height, w / width, h / height)],
            }
        )
    return {"faces": faces}


def health_payload(status: Status) -> dict[str, Any]:
    """How the device is doing; ``throttled`` is ON or OFF, ``why`` says it in words."""
    return {
        "state": status.state,
        "why": status.reason or status.throttled or "",
        "fps": round(status.fps, 2),
        "frame_age_s": None if status.frame_age_s is None else round(status.frame_age_s, 3),
        "temperature_c": None if status.temperature_c is None else round(status.temperature_c, 1),
        "throttled": "ON" if status.throttled or status.rate_factor < 1 else "OFF",
        "rate_factor": status.rate_factor,
        "frames": status.frames,
        "dropped": status.dropped,
    }
