"""A secret in every place where a user can put one; it may be in none of the texts that are written."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge import cli
from fer_edge.contract import redact
from fer_edge.contract.bundle import Bundle
from fer_edge.errors import ConfigError, EdgeError, SourceError
from fer_edge.sinks import secret
from fer_edge.sources import parse_uri
from fer_edge.sources.uri import with_password

SECRET = "Gehe1mn[i]s"
PLACES = (  # what people write, also in the wrong place
    "rtsp://admin:{}@127.0.0.1:9/live",
    "rtsp://admin:{}/x@127.0.0.1:9/live",
    "rtsp://admin:@{}@127.0.0.1:9/live",
    "rtsp://admin:my {} is@127.0.0.1:9/live",
    "rtsp://127.0.0.1:9/live?user=admin&password={}",
    "rtsp://127.0.0.1:9/user=admin_password={}_channel=1_stream=0.sdp",
    "rtsps://admin:{}@127.0.0.1/live",
    "rtps://admin:{}@127.0.0.1/live",
    "http://admin:{}@127.0.0.1/mjpeg",
    "RTSP://admin:{}@127.0.0.1/live",
    "admin:{}@127.0.0.1/live",
    "rtsp:/admin:{}@127.0.0.1/live",
    "rtsp://admin:{}@",
    "mqtt://user:{}@broker:1883",
)
Edge = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("place", PLACES)
def test_no_error_of_a_command_says_it(
    place: str, bundle: Bundle, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redact, "_remembered", set())
    monkeypatch.setenv("FER_EDGE_BUNDLE", str(bundle.path))
    text = place.format(SECRET)
    lines: list[list[str]] = [
        ["run", "--source", text],
        ["config", "show", "--source", text],
        ["run", "--sorce", text],
        ["frobnicate", text],
        ["image", text],
        ["run", "--source", "synthetic://?n=1", "--mqtt-host", text],
        ["run", "--source", "synthetic://?n=1", "--web", "--web-address", text],
        ["bench", "--source", text, "--n", "2", "--no-power"],
    ]
    keys = ("source.uri", "mqtt.host", "web.address", "source.url", "mqtt.password")
    for key in keys:
        table, _, name = key.partition(".")
        (tmp_path / key).write_text(f"[{table}]\n{name} = {json.dumps(text)}\n")
    (tmp_path / "list").write_text(f"[source]\nuri = [{json.dumps(text)}]\n")
    lines += [["config", what, str(tmp_path / key)] for key in (*keys, "list") for what in ("check", "show")]
    for line in lines:
        with contextlib.suppress(SystemExit):
            cli.main(line)
        said = capfd.readouterr()
        assert SECRET not in said.out + said.err, line
        assert said.out + said.err, line


def test_itself_where_its_file_is_asked_for(edge: Edge, bundle: Bundle) -> None:
    source = ["run", "--bundle", bundle.path, "--source"]
    for line in (
        [*source, "rtsp://u@127.0.0.1:9/x", "--source-password-file", SECRET],
        [*source, "synthetic://", "--mqtt-host", "h", "--mqtt-username", "u", "--mqtt-password-file", SECRET],
        [*source, "synthetic://", "--web", "--web-token-file", SECRET],
        ["config", "show", "--mqtt-username", "u", "--mqtt-password-file", SECRET],
    ):
        done = edge(*line)
        assert SECRET not in done.stdout + done.stderr, done.stderr


@pytest.fixture
def runs(bundle: Bundle, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Runs whose camera is not there, with a log, a page, metrics and lines."""
    processes: list[subprocess.Popen[str]] = []

    def start(*line: str, **options: object) -> subprocess.Popen[str]:
        with (tmp_path / "log").open("w") as log:
            command = [
                sys.executable,
                "-m",
                "fer_edge.cli",
                "run",
                "--bundle",
                str(bundle.path),
                "--wait",
                "--log-level",
            ]
            command += ["debug", "--jsonl", str(tmp_path / "lines"), "--web", "--metrics", "--web-port", "18437", *line]
            processes.append(subprocess.Popen(command, stderr=log, text=True, **options))  # type: ignore[call-overload]
        return processes[-1]

    yield start
    for process in processes:
        process.terminate()
        process.wait(20)


def everything(process: subprocess.Popen[str], folder: Path) -> str:
    """All that is written by a run, served by its page, and shown by the system."""
    deadline = time.monotonic() + 60
    while "waiting for a camera" not in (folder / "log").read_text():
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.1)
    time.sleep(1.2)  # a status snapshot
    texts = [(folder / "log").read_text(), (folder / "lines").read_text() if (folder / "lines").exists() else ""]
    for path in ("/", "/api/status", "/metrics", "/api/config"):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:18437{path}", timeout=10) as answer:
                texts.append(answer.read().decode())
        except urllib.error.HTTPError as error:
            texts.append(error.read().decode())
    texts.append(Path(f"/proc/{process.pid}/cmdline").read_bytes().decode())
    texts += [path.read_text() for path in Path(f"/proc/{process.pid}/task").glob("*/comm")]
    return "\n".join(texts)


def test_a_password_on_the_command_line_is_hidden_as_far_as_it_can_be(
    runs: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """In logs, readings, page and metrics; in ``ps`` from the first milliseconds on, and with a warning."""
    process = runs("--source", f"rtsp://admin:{SECRET}@127.0.0.1:9/live?token={SECRET}")
    said = everything(process, tmp_path)
    assert SECRET not in said
    stars = "*" * len(f"admin:{SECRET}")
    assert f"rtsp://{stars}@127.0.0.1:9/live?token={'*' * len(SECRET)}" in said  # its own command line
    assert "a command line can be read by every user" in said


def test_a_password_in_a_file_is_nowhere_else(runs: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    config = tmp_path / "config.toml"
    config.write_text(f'[source]\nuri = "rtsp://admin@127.0.0.1:9/live"\npassword_file = "{file}"\n')
    process = runs("--config", str(config))
    said = everything(process, tmp_path)
    assert SECRET not in said
    assert "a command line can be read" not in said
    assert SECRET not in Path(f"/proc/{process.pid}/environ").read_bytes().decode()


def test_the_report_for_others_does_not_hold_it(edge: Edge, tmp_path: Path, bundle: Bundle) -> None:
    home = tmp_path / "home"
    (home / ".config/fer-edge").mkdir(parents=True)
    (home / ".config/fer-edge/config.toml").write_text(f'[source]\nuri = "rtsp://admin:{SECRET}@127.0.0.1/live"\n')
    environ = {**os.environ, "HOME": str(home), "FER_EDGE_RUN": f"--source rtsp://u:{SECRET}@h/x"}
    environ.pop("XDG_CONFIG_HOME", None)
    report = tmp_path / "report.zip"
    done = edge("doctor", "--bundle", bundle.path, "--report", report, env=environ)
    with zipfile.ZipFile(report) as archive:
        texts = [archive.read(name).decode() for name in archive.namelist()]
    assert len(texts) > 2
    assert SECRET not in "".join(texts) + done.stdout + done.stderr


# -- what is shown -----------------------------------------------------------------------------------------------------

WORD = st.text(alphabet="abcXYZ019!$%^&*()[]{}|\\:;,.~'\"+=@/ #?<>-_", min_size=1, max_size=20)


@given(WORD)
def test_any_password_is_hidden_from_every_message(password: str) -> None:
    marked = f"Q7{password}7Q"  # found again wherever it is
    for scheme in ("rtsp", "rtsps", "http", "rtp"):
        text = f"{scheme}://user:{marked}@cam.example/live"
        shown = redact.url(text)
        assert not {"Q7", "7Q"} & {shown[i : i + 2] for i in range(len(shown))}
        assert shown == f"{scheme}://***@cam.example/live"
        assert len(redact.url(text, redact.stars)) == len(text)
        try:
            shown = parse_uri(text).text
        except SourceError as error:
            shown = str(error)
        assert not {"Q7", "7Q"} & {shown[i : i + 2] for i in range(len(shown))}
    if " " not in password:
        for error in (EdgeError(f"source {text!r}: no"), ConfigError(f'x: found a list ["{text}"]')):
            assert "Q7" not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "/home/me@work/clip.mp4",
        "file:///home/me@work/a:b@c.mp4",
        "images:///a@b",
        "v4l2:///dev/video0",
        "rtsp://cam.example/live",
        "rtsp://cam.example/a@b",
        "expected e.g. rtsp://user:password@192.168.1.20/stream",
        "clip.mp4: found 3 @ 4",
    ],
)
def test_what_is_no_secret_is_shown(text: str) -> None:
    assert redact.redacted(text) == text
    assert " " in text or redact.url(text) == text


def test_a_password_from_a_file_gets_to_the_camera() -> None:
    uri = parse_uri("rtsp://admin@cam.example:554/live?rotation=180")
    got = with_password(uri, "p@ss/w:rd [1]é")
    assert got.path == "rtsp://admin:p%40ss%2Fw%3Ard%20%5B1%5D%C3%A9@cam.example:554/live"
    assert got.text == uri.text
    assert "p%40" not in got.text


def test_a_service_takes_the_credential_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same configuration for root, who reads the file, and for the service, to which systemd hands its content."""
    own, given = tmp_path / "etc/source-password", tmp_path / "run/source-password"
    for path, text in ((own, "own\n"), (given, "given\n")):
        path.parent.mkdir()
        path.write_text(text)
    assert secret.first_line(str(own)) == "own"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given.parent))
    assert secret.first_line(str(own)) == "given"
    given.write_text("\n")  # the unit's default where root has no such file
    assert secret.first_line(str(own)) == "own"
    given.unlink()
    assert secret.first_line(str(own)) == "own"


def test_a_user_without_a_password_is_no_reason_to_warn(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("x\n")
    line = ["run", "--bundle", bundle.path, "--source", "rtsp://admin@127.0.0.1:9/live", "--source-password-file"]
    done = edge(*line, tmp_path / "password")
    assert done.returncode == 2
    assert "warning" not in done.stderr
    assert redact.secrets("rtsp://admin@h/x") == []
    assert redact.secrets("rtsp://admin:pw@h/x?token=abc") == ["admin:pw", "abc"]
