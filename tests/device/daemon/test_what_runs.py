"""After ``fer-edge tune``, what metrics, page and Home Assistant are told is what runs, not what is configured."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import web_helpers as helpers
from mqtt_helpers import Broker, Ear

from fer_edge.contract.bundle import open_bundle
from fer_edge.setting import tuned

BUNDLE = os.environ.get("FER_TEST_BUNDLE", "")
pytestmark = pytest.mark.skipif(not BUNDLE, reason="no bundle: set FER_TEST_BUNDLE (make test does)")


def test_everybody_is_told_of_what_tune_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = open_bundle(Path(BUNDLE))
    manifest = bundle.manifest
    variant = next(v.id for v in manifest.variants if v.id != manifest.default_variant)
    detector = manifest.other_detectors[-1].id
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    tuned.save(tuned.Tuned(tuned.identity(bundle), variant, 1, detector, 1.0, 2.0, "2026-01-01T00:00:00Z"))
    broker = Broker(tmp_path, "allow_anonymous true")
    broker.start()
    ear = Ear(broker.port)
    line = ("--source", "synthetic://?n=100000", "--rate", 2, "--bundle", BUNDLE, "--web", "--web-port", 0, "--metrics")
    try:
        with helpers.fer_edge("run", *line, "--mqtt-host", "127.0.0.1", "--mqtt-port", broker.port) as (_, url):
            port = int(url.rstrip("/").rpartition(":")[2])
            metrics = helpers.ask(port, "GET", "/metrics")[2].decode()
            page = json.loads(helpers.ask(port, "GET", "/api/status")[2])["running"]
            helpers.until(lambda: [t for t, _, _ in list(ear.heard) if t.endswith("/config")], "a discovery")
    finally:
        ear.end()
        broker.end()
    (info,) = (line for line in metrics.splitlines() if line.startswith("fer_edge_build_info{"))
    assert f'variant="{variant}"' in info
    assert f'detector="{detector}"' in info
    assert (page["model"], page["variant"], page["detector"]) == (manifest.model_id, variant, detector)
    device = json.loads(next(payload for topic, payload, _ in ear.heard if topic.endswith("/config")))["dev"]
    assert device["mdl"] == f"{manifest.model_id} {variant}, {detector}"
