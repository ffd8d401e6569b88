"""MQTT against a real mosquitto, killed and started again; with TLS and a password; with both paho versions."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import web_helpers as helpers
from mqtt_helpers import PASSWORD, Broker, Ear, a_reading, publishing, settings

from fer_edge.contract import bounds
from fer_edge.contract.labels import EMOTIONS8
from fer_edge.errors import SchemaError, UsageError
from fer_edge.sinks.mqtt.discovery import Device, Topics, discovery_payload, faces_payload, state_payload
from fer_edge.sinks.mqtt.sink import Due, MqttSink
from fer_edge.types import Status

pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed: pip install 'fer-edge[mqtt]'")


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


def test_discovery_states_and_a_clean_end(broker: Broker) -> None:
    ear = Ear(broker.port)
    sink = MqttSink(settings(broker.port), EMOTIONS8)
    with publishing(sink, "happiness", "happiness", "sadness"):
        payload, _ = ear.wait("fer-edge/test_1/state")
        faces, _ = ear.wait("fer-edge/test_1/faces")
        sink.status(Status("running", "synthetic://", fps=12.34, temperature_c=51.26, dropped={"source": 3}))
        health, _ = ear.wait("fer-edge/test_1/health")
    state = json.loads(payload)
    assert (state["faces"], state["expression"], state["counts"]) == (3, "happiness", {"happiness": 2, "sadness": 1})
    assert state["probability_percent"] == 58.0
    first = json.loads(faces)["faces"][0]
    assert first == {
        "track": 0,
        "expression": "happiness",
        "probability_percent": 86.0,
        "uncertain": False,
        "box": [0.0, 0.1, 0.1, 0.2],
    }
    document = json.loads(health)
    assert (document["fps"], document["temperature_c"], document["throttled"]) == (12.34, 51.3, "OFF")
    sink.close()
    sink.close()
    ear.wait("fer-edge/test_1/availability", lambda p: p == "offline")
    late = Ear(broker.port)  # what a Home Assistant that starts now is told
    discovery, retained = late.wait("homeassistant/device/test_1/config")
    assert retained
    assert late.wait("fer-edge/test_1/availability") == ("offline", True)
    assert not [t for t, _, r in late.heard if r and t.endswith(("/state", "/faces", "/health"))]
    assert set(json.loads(discovery)) >= {"dev", "o", "cmps", "availability_topic"}
    assert max(len(payload) for _, payload, _ in ear.heard) < 6000  # no picture in anything
    ear.end()
    late.end()


def test_a_face_s_zone_is_sent_by_its_name() -> None:
    plain = a_reading(0, "fear", "anger")
    assert state_payload(plain)["zones"] == {}
    assert ["zone" in face for face in faces_payload(plain)["faces"]] == [False, False]
    reading = replace(plain, faces=(replace(plain.faces[0], zone="door"), plain.faces[1]))
    assert state_payload(reading)["zones"] == {"door": 1}
    assert [face.get("zone") for face in faces_payload(reading)["faces"]] == ["door", None]


def test_broker_killed_and_started_again(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    sink = MqttSink(settings(broker.port), EMOTIONS8)
    try:
        helpers.until(lambda: sink.connected, "connected")
        with publishing(sink, "anger"):
            broker.end(signal.SIGKILL)
            helpers.until(lambda: not sink.connected, "the loss is noticed")
            helpers.until(lambda: sink.dropped > 3, "states are dropped and counted")
            broker.start()
            ear = Ear(broker.port)
            ear.wait("fer-edge/test_1/availability", lambda p: p == "online")
            ear.wait("homeassistant/device/test_1/config")
            ear.wait("fer-edge/test_1/state")
        assert sink.reconnects == 1
        assert len([r for r in caplog.records if "connection lost" in r.getMessage()]) == 1
        ear.end()
    finally:
        sink.close()


def test_broker_that_comes_late_and_home_assistant_that_restarts(broker: Broker) -> None:
    broker.end()
    sink = MqttSink(settings(broker.port), EMOTIONS8)
    try:
        sink.publish(a_reading(0, "fear"))
        assert sink.dropped == 1
        broker.start()
        ear = Ear(broker.port)
        ear.wait("homeassistant/device/test_1/config")
        since = len(ear.heard)
        ear.client.publish("homeassistant/status", "online")
        ear.wait("homeassistant/device/test_1/config", since=since)
        ear.wait("fer-edge/test_1/availability", lambda p: p == "online", since=since)
        ear.end()
    finally:
        sink.close()


def test_device_that_dies_is_said_offline_by_the_broker(broker: Broker) -> None:
    code = f"""
import time
from fer_edge.sinks.mqtt.settings import MqttSettings
from fer_edge.sinks.mqtt.sink import MqttSink
sink = MqttSink(MqttSettings(host="127.0.0.1", port={broker.port}, device_id="test_2"), ("a", "b"))
while not sink.connected: time.sleep(0.02)
print("up", flush=True)
time.sleep(600)"""
    ear = Ear(broker.port)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    ear.wait("fer-edge/test_2/availability", lambda p: p == "online")
    process.kill()
    process.wait()
    ear.wait("fer-edge/test_2/availability", lambda p: p == "offline")
    ear.end()


def make_certificates(folder: Path) -> None:
    """An authority, and a broker's certificate for localhost."""
    openssl = helpers.needs("openssl")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], check=True, capture_output=True, cwd=folder)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority",
        "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    run("req", "-x509", *key, "-keyout", "other.key", "-out", "other.pem", "-subj", "/CN=another",
        "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    run("req", *key[:-2], "-keyout", "broker.key", "-out", "broker.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    run("x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
        "-extfile", "names", "-out", "broker.pem")  # fmt: skip
    for path in folder.glob("*.key"):
        path.chmod(0o644)  # mosquitto gives up root before it reads them


def test_tls_and_password_from_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tmp_path.chmod(0o755)
    make_certificates(tmp_path)
    subprocess.run(
        [helpers.needs("mosquitto_passwd", "mosquitto"), "-b", "-c", tmp_path / "users", "pi", PASSWORD], check=True
    )
    (tmp_path / "users").chmod(0o644)
    (tmp_path / "secret").write_text(PASSWORD + "\n")
    (tmp_path / "wrong").write_text("wrong horse\n")
    keys = {"cafile": "ca.pem", "certfile": "broker.pem", "keyfile": "broker.key", "password_file": "users"}
    files = [f"{key} {tmp_path}/{name}" for key, name in keys.items()]
    broker = Broker(tmp_path, *files, "allow_anonymous false", "user root" if os.geteuid() == 0 else "")
    broker.start()
    good: dict[str, Any] = {
        "host": "localhost",
        "tls": True,
        "ca_file": str(tmp_path / "ca.pem"),
        "username": "pi",
        "password_file": str(tmp_path / "secret"),
    }
    try:
        sink = MqttSink(settings(broker.port, **good), EMOTIONS8)
        ear = Ear(broker.port, tls=str(tmp_path / "ca.pem"), username="pi")
        with publishing(sink, "surprise"):
            ear.wait("fer-edge/test_1/state")
        ear.end()
        sink.close()
        refusals = (
            ({"password_file": str(tmp_path / "wrong")}, "refused by the broker"),
            ({"ca_file": str(tmp_path / "other.pem")}, "certificate verify failed"),
            ({"host": "127.0.0.1"}, "certificate verify failed"),  # not the certificate's name
        )
        for change, said in refusals:
            caplog.clear()
            sink = MqttSink(settings(broker.port, **(good | change)), EMOTIONS8)
            helpers.until(lambda said=said: [r for r in caplog.records if said in r.getMessage()], said)  # type: ignore[misc]
            assert not sink.connected
            sink.close()
        assert PASSWORD not in caplog.text
        assert "wrong horse" not in caplog.text
    finally:
        broker.end()


def test_broker_that_hangs_costs_no_frame_and_no_memory() -> None:
    import socket
    import time

    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes the connection and never answers
        sink = MqttSink(settings(deaf.getsockname()[1]), EMOTIONS8)
        started = time.monotonic()
        for index in range(2000):
            sink.publish(a_reading(index, *(["neutral"] if index % 2 else [])))
        assert time.monotonic() - started < 20  # 10 ms a frame, were it to wait at all
        assert len(sink._unsent) == 0
        sink.close()


@pytest.mark.bound("BACKLOG")
def test_broker_that_stops_reading(broker: Broker) -> None:
    sink = MqttSink(settings(broker.port, interval_s=0.05), EMOTIONS8)
    helpers.until(lambda: sink.connected, "connected")
    assert broker.process is not None
    broker.process.send_signal(signal.SIGSTOP)
    try:
        most = 0

        def dropped() -> bool:
            nonlocal most
            most = max(most, len(sink._unsent))
            return sink.dropped > 0

        with publishing(sink, *["happiness"] * 400):
            helpers.until(dropped, "the backlog is bounded", wait_s=120)
        assert sink.connected  # dropped for the backlog, not because the connection was given up
        assert 2 <= most <= bounds.BACKLOG
    finally:
        broker.process.send_signal(signal.SIGCONT)
        sink.close()


def test_with_the_paho_of_debian(broker: Broker, tmp_path: Path) -> None:
    """Debian 12 has 1.6, Debian 13 has 2.1: the system's package, in this environment."""
    system = Path("/usr/lib/python3/dist-packages/paho")
    if not system.is_dir():
        pytest.skip("python3-paho-mqtt is not installed: sudo apt install python3-paho-mqtt")
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "paho").symlink_to(system)
    code = f"""
import logging, time, paho.mqtt, numpy as np
logging.basicConfig(level=logging.INFO)
from fer_edge.sinks.mqtt.settings import MqttSettings
from fer_edge.sinks.mqtt.sink import MqttSink
from fer_edge.types import Frame, FrameReading
sink = MqttSink(MqttSettings(host="127.0.0.1", port={broker.port}, device_id="test_3", max_backoff_s=1), ("a", "b"))
print(paho.mqtt.__version__, flush=True)
for number in range(6000):
    sink.publish(FrameReading(Frame(np.zeros((9, 9, 3), np.uint8), number, 0.0, "x"), ()))
    time.sleep(0.01)
    if sink.reconnects: break
sink.close()"""
    ear = Ear(broker.port)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(tmp_path / "path")}
    )
    try:
        assert process.stdout is not None
        version = process.stdout.readline().decode().strip()
        assert version.startswith(("1.", "2."))
        payload, _ = ear.wait("fer-edge/test_3/state")
        assert json.loads(payload)["expression"] == "none"
        broker.end(signal.SIGKILL)
        broker.start()
        ear.wait("fer-edge/test_3/availability", lambda p: p == "offline")  # on the clean end, after it came back
        assert process.wait(helpers.WAIT_S) == 0
    finally:
        process.kill()
        ear.end()


def test_discovery_document() -> None:
    topics = Topics("fer-edge", "homeassistant", "cam_1")
    document = discovery_payload(topics, Device("Hall"), EMOTIONS8, 30)
    assert document["dev"]["ids"] == ["cam_1"]
    assert document["o"]["name"] == "fer-edge"
    ids = [entity["unique_id"] for entity in document["cmps"].values()]
    assert len(set(ids)) == len(ids) == 10
    assert document["o"]["url"].startswith("https://")
    assert "cu" not in document["dev"]  # nobody else reaches the page
    assert all(identity.startswith("cam_1_") for identity in ids)
    for entity in document["cmps"].values():
        assert entity["p"] in ("sensor", "binary_sensor")
        assert entity["expire_after"] == 30
        assert entity["value_template"].startswith(("{{ value_json.", "{{ 'ON' if value_json."))
        assert not (entity.get("device_class") == "enum" and "state_class" in entity)  # Home Assistant refuses both
    assert document["cmps"]["expression"]["options"] == ["none", *EMOTIONS8]
    # every template reads a key that is sent
    sent = {topics.state: state_payload(a_reading(0, "fear")), topics.health: None}
    for entity in document["cmps"].values():
        if entity["name"] == "Face present":
            continue  # in test_home_assistant.py
        key = entity["value_template"].removeprefix("{{ value_json.").removesuffix(" }}")
        if sent[entity["state_topic"]] is not None:
            assert key in (sent[entity["state_topic"]] or {})


def test_due_tells_changes_at_once_but_not_too_often() -> None:
    due = Due(1.0)
    told = [t / 10 for t in range(30) if due(t / 10, "same")]
    assert told == pytest.approx([0, 1, 2])
    due = Due(1.0)
    told = [t / 8 for t in range(9) if due(t / 8, t)]  # eighths are exact
    assert told == [0, 0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"topic_prefix": "a/#"}, "^topic_prefix: found"),
        ({"device_id": "a/b"}, "^device_id: found"),
        ({"device_id": "a b"}, "^device_id: found"),
        ({"host": "a b"}, "^host: found"),
        ({"port": 70000}, "^port: found"),
        ({"interval_s": 0}, "^interval_s: found"),
        ({"password_file": "x"}, "give|mqtt.username"),
        ({"ca_file": "x"}, "mqtt.tls"),
    ],
)
def test_settings_that_cannot_be_used(change: dict[str, Any], said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        settings(1, **change)


def test_secrets_that_cannot_be_read(tmp_path: Path) -> None:
    for content in (None, b"", b"\xff\xfe"):
        path = tmp_path / "secret"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UsageError, match="secret"):
            MqttSink(settings(1, username="pi", password_file=str(path)), EMOTIONS8)
