"""A certificate that does not hold: a camera over https and a broker over TLS are refused, and nothing is sent them."""

from __future__ import annotations

import logging
from pathlib import Path

import certificates
import pytest
import web_helpers as helpers
from mqtt_helpers import settings

from fer_edge.contract import bounds
from fer_edge.contract.labels import EMOTIONS8
from fer_edge.errors import SourceError
from fer_edge.sinks.mqtt.sink import MqttSink
from fer_edge.sources import open_source

PASSWORD = "correct-horse"
SAID = {
    "expired": "certificate has expired",
    "not yet": "certificate is not yet valid",
    "another name": "Hostname mismatch",
    "self-signed": "self-signed certificate",
}


@pytest.mark.parametrize("kind", certificates.KINDS)
def test_a_camera_over_https(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, certificate, key = certificates.make(tmp_path, kind)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with certificates.trap(certificate, key) as server, pytest.raises(SourceError) as caught:
        open_source(f"https://pi:{PASSWORD}@localhost:{server.port}/video")
    said = str(caught.value)
    assert "\n" not in said
    assert PASSWORD not in said
    if kind == "right":  # the trap is one: what is sent is seen
        assert server.told.startswith(b"GET /video HTTP/1.1")
    else:
        assert f"its certificate does not hold ({SAID[kind]}" in said
        assert server.told == b""


@pytest.mark.parametrize("kind", certificates.KINDS)
def test_a_broker(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("fer_edge"), "propagate", True)
    monkeypatch.setattr(bounds, "FIRST_BACKOFF_S", 0.1)
    authority, certificate, key = certificates.make(tmp_path, kind)
    (tmp_path / "password").write_text(PASSWORD)
    login = {"username": "pi", "password_file": str(tmp_path / "password")}
    with certificates.trap(certificate, key) as server:
        sink = MqttSink(settings(server.port, host="localhost", tls=True, ca_file=str(authority), **login), EMOTIONS8)
        helpers.until(lambda: server.told if kind == "right" else server.tries and caplog.records, "it was tried")
        helpers.until(lambda: server.tries >= 2, "it is tried again")
        sink.close()
    # a record is caught twice where a run in this process has had the logger keep its records to itself
    lines = [record.getMessage() for record in {id(record): record for record in caplog.records}.values()]
    if kind == "right":
        assert PASSWORD.encode() in server.told
    else:
        assert server.told == b""
        assert len(lines) == 1, lines  # once, not at every try
        assert "certificate verify failed" in lines[0]
        assert SAID[kind] in lines[0]
        assert "\n" not in lines[0]
    assert PASSWORD not in caplog.text
    assert not any(record.exc_info for record in caplog.records)


def test_rtsp_over_tls_is_not_taken_and_says_so() -> None:
    with pytest.raises(SourceError, match="unknown scheme 'rtsps'") as caught:
        open_source(f"rtsps://pi:{PASSWORD}@localhost/video")
    assert PASSWORD not in str(caught.value)
