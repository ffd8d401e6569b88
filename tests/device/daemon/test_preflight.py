"""``config check`` and ``run`` look at the same things and name every mistake at once, in the order of the file."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_edge import config
from fer_edge.config import TABLES
from fer_edge.contract.bundle import Bundle
from fer_edge.contract.errors import SchemaError
from fer_edge.contract.limits import Limited
from fer_edge.daemon import preflight
from fer_edge.errors import ConfigError

Edge = Callable[..., subprocess.CompletedProcess[str]]

WRONG = """\
[web]
enabled = true
port = 99999
max_fps = -5.0
jpeg_quality = 300
prot = 1

[source]
uri = "v4l3://x"
rate = 0.0

[track]
detect_every = -4
smooth_s = -1.0
uncertain_below = 7.0
same_face_iou = "x"

[mqtt]
host = "x y"
topic_prefix = "a/#"

[model]
bundle = "/nope"

[health]
hot_c = 60.0
[weeb]
"""
SAID = [
    "line 3: web.port: found 99999, expected 0 to 65535",
    "line 4: web.max_fps: found -5, expected 0.1 to 60",
    "line 5: web.jpeg_quality: found 300, expected 1 to 100",
    "line 6: web.prot: unknown key; did you mean 'port'?",
    "line 9: source.uri: 'v4l3://x': unknown scheme 'v4l3'; expected a path or one of file://",
    "line 10: source.rate: found 0, expected 0.1 to 1000 frames per second",
    "line 13: track.detect_every: found -4, expected 1 to 1000 frames",
    "line 14: track.smooth_s: found -1, expected 0 to 60 s",
    "line 15: track.uncertain_below: found 7, expected 0 to 1",
    "line 16: track.same_face_iou: found a text",
    "line 19: mqtt.host: found 'x y', expected the broker's name or address",
    "line 20: mqtt.topic_prefix: found 'a/#', expected letters",
    "line 23: model.bundle: bundle /nope: ",
    "line 25: health.cool_c: found cool_c 70, hot_c 60; expected 0 < cool_c < hot_c <= 120",
    "line 27: weeb: unknown key; did you mean 'web'?",
]


def test_every_mistake_at_once_in_the_order_of_the_file(edge: Edge, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(WRONG)
    check, run = edge("config", "check", file), edge("run", "--config", file)
    assert check.returncode == run.returncode == 2
    assert check.stderr == run.stderr
    lines = check.stderr.splitlines()
    assert len(lines) == len(SAID), check.stderr
    for line, said in zip(lines, SAID, strict=True):
        assert line.startswith(f"fer-edge: error: config {file}, {said}"), line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no source; expected --source URI or --camera"),
        ("[source]\nuri = '/nowhere.mp4'", "line 2: source.uri: file:///nowhere.mp4: no such file"),
        ("[source]\nuri = 'images:///nowhere'", "line 2: source.uri: images:///nowhere: no such folder"),
        (
            "[source]\nuri = 'v4l2:///dev/video0?width=63'",
            "line 2: source.uri: v4l2:///dev/video0?width=63: width is 63",
        ),
        ("[source]\nuri = 'v4l2:///dev/video0?fsp=1'", "unknown option 'fsp'"),
        ("[source]\nuri = 'csi://zero'", "camera 'zero', expected its number"),
        ("[source]\nuri = 'synthetic://'\nloop = true", "line 3: source.loop: synthetic:// is no clip"),
        ("{ok}[model]\nvariant = 'x'", "line 4: model.variant: "),
        ("{ok}[model]\ndetector = 'x'", "line 4: model.detector: "),
        ("{ok}[model]\nthreads = 0", "line 4: model.threads: found 0, expected 1 to 1024"),
        ("{ok}[jsonl]\npath = '/nowhere/x.jsonl'", "line 4: jsonl.path: /nowhere/x.jsonl: no such folder"),
        ("{ok}[jsonl]\npath = '/'", "line 4: jsonl.path: /: is a folder"),
        ('{ok}[jsonl]\npath = "a\\u0000b"', "line 4: jsonl.path: a zero byte in it"),
        (
            "{ok}[mqtt]\nhost = 'h'\nusername = 'u'\npassword_file = '/nowhere'",
            "line 6: mqtt.password_file: secret /nowhere",
        ),
        ("{ok}[mqtt]\npassword_file = '/etc/hostname'", "line 4: mqtt.password_file: given without mqtt.username"),
        ("{ok}[mqtt]\nhost = 'h'\ntls = true\nca_file = '/nowhere'", "line 5: mqtt.tls: mqtt: /nowhere: no such file"),
        ("{ok}[mqtt]\nkey_file = 'k'", "line 4: mqtt.key_file: a key without mqtt.cert_file"),
        ("{ok}[web]\nenabled = true\naddress = 'a b'", "line 5: web.address: found 'a b'"),
        ("{ok}[web]\nenabled = true\naddress = '203.0.113.9'", "line 5: web.address: 203.0.113.9: Cannot assign"),
        ("{ok}[web]\nenabled = true\ntoken_file = '/nowhere'", "line 5: web.token_file: secret /nowhere"),
        ("{ok}[web]\nhosts = ['http://a']", "line 4: web.hosts: found 'http://a'"),
        ("{ok}[web]\nframe_ancestors = ['*']", "line 4: web.frame_ancestors: found '*'"),
        ("{ok}[log]\ninterval_s = -1.0", "line 4: log.interval_s: found -1, expected 0 to 86400 s"),
    ],
)
def test_what_a_run_would_refuse(
    text: str, said: str, tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_EDGE_BUNDLE", str(bundle.path))
    file = tmp_path / "c.toml"
    file.write_text(text.replace("{ok}", "[source]\nuri = 'synthetic://'\n"))
    with pytest.raises(ConfigError) as error:
        preflight.load(file)
    assert said in str(error.value)
    assert len(error.value.each) == 1, error.value.each
    assert said.startswith("no source") or str(error.value).startswith(f"config {file}")


def test_mistakes_in_flags_are_named_by_the_flag(edge: Edge, bundle: Bundle, one_line: Callable[..., str]) -> None:
    line = ["run", "--source", "synthetic://?n=1", "--bundle", bundle.path]
    one_line(edge(*line, "--track-smooth-s", "-1"), "--track-smooth-s: track.smooth_s: found -1, expected 0 to 60 s")
    one_line(edge(*line, "--variant", "x"), "--variant: model.variant: ")
    two = edge(*line, "--web-port", "99999", "--track-detect-every", "0").stderr.splitlines()
    assert [text.split(" ")[2] for text in two] == ["--track-detect-every:", "--web-port:"]


def test_a_mistake_in_the_file_stays_one_where_a_flag_overrules_it(tmp_path: Path, bundle: Bundle) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f"[source]\nuri = 'synthetic://'\n[model]\nbundle = '{bundle.path}'\n[web]\nport = 99999\n")
    with pytest.raises(ConfigError, match=r"line 6: web\.port: found 99999"):
        preflight.load(file, {"web": {"port": 1}})
    file.write_text(file.read_text().replace("99999", "9999"))
    assert preflight.load(file, {"web": {"port": 1}})[0].web.port == 1


def test_a_table_that_exists_can_be_used() -> None:
    """Also for those who make one in a program: every limit holds for the class itself."""
    n = 0
    for cls in TABLES.values():
        assert issubclass(cls, Limited)
        for item in dataclasses.fields(cls):
            if "check" in item.metadata and item.type in ("int", "float"):
                for value in (-(10**9), 10**12, float("nan")):
                    n += 1
                    with pytest.raises(SchemaError, match=f"^{item.name}: found"):
                        cls(**{item.name: value})
    assert n > 60


def test_numbers_without_a_limit_are_few() -> None:
    """A number that somebody may set has a range, so that nonsense is named and not tried."""
    free = [
        f"{key.table}.{key.name}"
        for key in config.keys()  # noqa: SIM118  # no dictionary's
        if key.type in (int, float)
        and "check" not in next(f for f in dataclasses.fields(TABLES[key.table]) if f.name == key.name).metadata
    ]
    assert free == ["health.hot_c", "health.cool_c"]  # checked together


def test_a_sound_file_passes_and_opens_nothing(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    out = tmp_path / "readings.jsonl"
    text = f"[source]\nuri = 'csi://0'\n[model]\nbundle = '{bundle.path}'\n[jsonl]\npath = '{out}'\n"
    file.write_text(f"{text}[web]\nenabled = true\n")
    done = edge("config", "check", file)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{file}: no mistake found\n", "")
    assert not out.exists()


def test_a_configuration_that_is_a_pipe_or_a_device_is_not_waited_for(edge: Edge, tmp_path: Path) -> None:
    """Security fault S14."""
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero"):
        for line in (["config", "check", path], ["config", "show", path], ["run", "--config", path]):
            done = edge(*line)
            assert done.returncode == 2
            assert done.stderr == f"fer-edge: error: config {path}: no regular file; expected a TOML file\n"
