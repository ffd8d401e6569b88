"""What Home Assistant is told and may tell: templates rendered as it renders them, times, the page, the switch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import web_helpers as helpers
from mqtt_helpers import Broker, Ear, a_reading, publishing, settings

from fer_edge.contract.bundle import Bundle
from fer_edge.contract.labels import EMOTIONS8
from fer_edge.sinks.mqtt.discovery import Device, Topics, discovery_payload, health_payload, state_payload
from fer_edge.sinks.mqtt.sink import MqttSink
from fer_edge.types import Status

TOPICS = Topics("fer-edge", "homeassistant", "cam_1")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path, "allow_anonymous true")
    broker.start()
    yield broker
    broker.end()


def test_templates_give_what_an_entity_may_be() -> None:
    jinja2 = pytest.importorskip("jinja2", reason="jinja2 is not installed")
    document = discovery_payload(TOPICS, Device("Hall", can_switch=True), EMOTIONS8, 30)
    for labels in ((), ("fear",), ("anger", "fear")):
        reading = a_reading(3, *labels).published()
        reading = dataclasses.replace(reading, frame=dataclasses.replace(reading.frame, t_media_s=1.25, damaged=True))
        sent = {
            TOPICS.state: state_payload(reading),
            TOPICS.health: health_payload(Status("stopped" if labels else "running", "x")),
        }
        shown = {
            key: jinja2.Template(entity["value_template"]).render(
                value_json=json.loads(json.dumps(sent[entity["state_topic"]]))
            )
            for key, entity in document["cmps"].items()
        }
        assert shown["present"] == ("ON" if labels else "OFF")
        assert shown["faces"] == str(len(labels))
        assert shown["switch"] == ("OFF" if labels else "ON")
        assert datetime.fromisoformat(shown["captured"]).tzinfo is not None  # a timestamp needs a zone
        assert (sent[TOPICS.state]["t_media_s"], sent[TOPICS.state]["damaged"]) == (1.25, True)
    assert document["cmps"]["present"]["p"] == "binary_sensor"


def test_a_reading_that_was_not_published_has_no_time() -> None:
    assert state_payload(a_reading(0))["time"] is None


def test_the_page_is_linked_where_others_reach_it(broker: Broker, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef-of-a-test")
    source = ("--source", "synthetic://?n=100000", "--rate", 2, "--bundle", bundle.path, "--web", "--web-port", 0)
    mqtt = ("--mqtt-host", "127.0.0.1", "--mqtt-port", broker.port)
    ear = Ear(broker.port)
    for number, (address, linked) in enumerate((("127.0.0.1", False), ("0.0.0.0", True))):
        web = ("--web-address", address, *(("--web-token-file", tmp_path / "token") if linked else ()))
        name = ("--mqtt-device-id", f"test_{number}")
        with helpers.fer_edge("run", *source, *mqtt, *web, *name) as (_, url):
            device = json.loads(ear.wait(f"homeassistant/device/test_{number}/config")[0])["dev"]
        assert device.get("cu") == (url if linked else None)
        assert "0123456789abcdef" not in json.dumps(device)
    ear.end()


def test_the_switch_is_heard_only_where_it_is_set(broker: Broker) -> None:
    for is_set in (False, True):
        told: list[bool] = []
        name = f"test_{is_set}"
        sink = MqttSink(settings(broker.port, device_id=name, camera_switch=is_set), EMOTIONS8, switch=told.append)
        ear = Ear(broker.port)
        try:
            document = json.loads(ear.wait(f"homeassistant/device/{name}/config")[0])
            assert ("switch" in document["cmps"]) is is_set
            with publishing(sink, "fear"):
                for payload in ("OFF", "off", "", "x" * 200, "ON"):
                    ear.client.publish(f"fer-edge/{name}/camera/set", payload)
                ear.wait(f"fer-edge/{name}/camera/set", lambda p: p == "ON")
                ear.wait(f"fer-edge/{name}/state", since=len(ear.heard))
            helpers.until(lambda: told == ([False, True] if is_set else []), "it does as it is told")  # noqa: B023
        finally:
            ear.end()
            sink.close()


def test_a_kept_command_is_not_obeyed_at_every_start(broker: Broker) -> None:
    told: list[bool] = []
    ear = Ear(broker.port)
    helpers.until(ear.client.is_connected, "connected")
    ear.client.publish("fer-edge/test_1/camera/set", "OFF", retain=True).wait_for_publish(20)
    sink = MqttSink(settings(broker.port, camera_switch=True), EMOTIONS8, switch=told.append)
    helpers.until(lambda: sink.connected, "connected")
    ear.client.publish("fer-edge/test_1/camera/set", "ON").wait_for_publish(20)
    helpers.until(lambda: told, "the next one is obeyed")
    assert told == [True]
    ear.end()
    sink.close()


def test_home_assistant_switches_a_run_off_and_on(broker: Broker, bundle: Bundle) -> None:
    source = ("--source", "synthetic://?n=100000", "--rate", 5, "--bundle", bundle.path, "--web", "--web-port", 0)
    mqtt = ("--mqtt-host", "127.0.0.1", "--mqtt-port", broker.port, "--mqtt-device-id", "test_1")
    ear = Ear(broker.port)
    try:
        with helpers.fer_edge("run", *source, *mqtt, "--mqtt-camera-switch"):
            health = "fer-edge/test_1/health"
            for word, state in (("OFF", "stopped"), ("ON", "running")):
                ear.wait("fer-edge/test_1/availability", lambda p: p == "online")
                since = len(ear.heard)
                ear.client.publish("fer-edge/test_1/camera/set", word)
                ear.wait(health, lambda p, state=state: json.loads(p)["state"] == state, since)  # type: ignore[misc]
    finally:
        ear.end()
