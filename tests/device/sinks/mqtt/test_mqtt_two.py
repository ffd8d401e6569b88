"""Two instances on one real mosquitto: each its own, or, where they are given the same id, a line that says so."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import web_helpers as helpers
from mqtt_helpers import Broker, Ear, paho, publishing, settings

from fer_edge.contract.bundle import Bundle
from fer_edge.contract.labels import EMOTIONS8
from fer_edge.sinks.mqtt.sink import MqttSink

TOGETHER_S = float(os.environ.get("FER_TEST_MQTT_S", "4"))  # 60 by hand


@pytest.fixture(autouse=True)
def logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's own log settings, of another test, must not hide records from caplog."""
    monkeypatch.setattr(logging.getLogger("fer_edge"), "propagate", True)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path, "allow_anonymous true")
    broker.start()
    yield broker
    broker.end()


def test_two_runs_on_one_machine_do_not_evict_each_other(broker: Broker, bundle: Bundle, tmp_path: Path) -> None:
    """Two commands as a user starts them: one by a configuration file, one by a source; nothing else is set."""
    config = tmp_path / "door.toml"
    config.write_text(
        f'[source]\nuri = "synthetic://?n=100000"\nrate = 10\n[model]\nbundle = "{bundle.path}"\n'
        f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\ninterval_s = 0.1\n'
    )
    source = ("--source", "synthetic://?n=100000&seed=2", "--rate", 10, "--bundle", bundle.path)
    mqtt = ("--mqtt-host", "127.0.0.1", "--mqtt-port", broker.port, "--mqtt-interval-s", 0.1)
    run = (sys.executable, "-m", "fer_edge.cli", "run")
    ear = Ear(broker.port)
    programs = [helpers.Program(*run, "--config", config), helpers.Program(*run, *source, *mqtt)]
    try:
        helpers.until(lambda: len(states(ear)) == 2, "both publish states under topics of their own")
        since = len(ear.heard)
        time.sleep(TOGETHER_S)
        heard = ear.heard[since:]
        for topic in states(ear):
            indices = [json.loads(payload)["frame_index"] for t, payload, _ in heard if t == topic]
            assert len(indices) >= 5 * TOGETHER_S
            assert indices == sorted(indices)  # of one instance
        assert not [payload for t, payload, _ in heard if t.endswith("/availability")]  # none was thrown off
        devices = [json.loads(payload)["dev"] for t, payload, _ in ear.heard if t.endswith("/config")]
        assert len({device["ids"][0] for device in devices}) == 2
        names = sorted(device["name"].rpartition(" (")[2] for device in devices)
        assert names == ["door)", "synthetic)"]
    finally:
        for program in programs:
            program.end()
        ear.end()
    log = (tmp_path / "mosquitto.log").read_text()
    assert "already connected" not in log, log


def states(ear: Ear) -> set[str]:
    return {topic for topic, _, _ in list(ear.heard) if topic.endswith("/state")}


def test_the_same_id_twice_is_said_with_what_to_set(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    first = MqttSink(settings(broker.port, max_backoff_s=2), EMOTIONS8)
    helpers.until(lambda: first.connected, "the first is there")
    second = MqttSink(settings(broker.port, max_backoff_s=2), EMOTIONS8)
    try:
        lines = helpers.until(
            lambda: [r.getMessage() for r in caplog.records if "has the same id" in r.getMessage()], "it is said"
        )
        time.sleep(6)  # while they throw each other off, more than once
        lines = [r.getMessage() for r in caplog.records if "has the same id" in r.getMessage()]
        assert 1 <= len(lines) <= 2  # once by each of them
        for words in ("another fer-edge, on ", "the same id test_1", "mqtt.device_id", "--mqtt-device-id"):
            assert words in lines[0]
        warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
        assert len(warnings) <= 6, warnings  # no line for every time
        assert not [line for line in warnings if "Unspecified" in line]
    finally:
        first.close()
        second.close()


def test_another_program_with_our_id_is_said_too(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    sink = MqttSink(settings(broker.port), EMOTIONS8)
    helpers.until(lambda: sink.connected, "connected")
    version = (paho.CallbackAPIVersion.VERSION2,) if hasattr(paho, "CallbackAPIVersion") else ()
    other = paho.Client(*version, client_id="test_1")
    other.reconnect_delay_set(1, 1)
    other.connect_async("127.0.0.1", broker.port)
    other.loop_start()
    try:
        helpers.until(lambda: [r for r in caplog.records if "maybe another client" in r.getMessage()], "it is said")
        assert "mqtt.device_id" in caplog.text
    finally:
        other.disconnect()
        other.loop_stop()
        sink.close()


def test_a_run_after_another_is_no_clash(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    """The mark of the run before stays with the broker; a lost connection of our own brings our own mark back."""
    for _ in range(2):
        sink = MqttSink(settings(broker.port), EMOTIONS8)
        with publishing(sink, "fear"):
            helpers.until(lambda sink=sink: sink.connected, "connected")  # type: ignore[misc]
            sink._client.socket().shutdown(2)
            helpers.until(lambda sink=sink: sink.reconnects == 1 and sink.connected, "connected again")  # type: ignore[misc]
            time.sleep(0.5)
        sink.close()
    assert "same id" not in caplog.text
