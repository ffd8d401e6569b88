"""The configuration: strict, said with its line, every key a flag, the file overruled by flags."""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge import config
from fer_edge.config import Config
from fer_edge.contract.bundle import Bundle
from fer_edge.errors import ConfigError, EdgeError
from fer_edge.program import logs

Edge = Callable[..., subprocess.CompletedProcess[str]]
OneLine = Callable[..., str]


def parsed(*words: str) -> config.Flags:
    parser = argparse.ArgumentParser()
    config.add_flags(parser)
    return config.given_flags(parser.parse_args(words))


def test_the_whole_configuration_as_a_file_reads_back(tmp_path: Path) -> None:
    flags = parsed(
        "--source", 'a "b"\\c\x7fé.mp4', "--rate", "12.5", "--tiles", "2,3", "--no-track", "--web", "--web-hosts", "a,b"
    )
    before = config.decode(flags)
    file = tmp_path / "config.toml"
    file.write_text(config.as_toml(before))
    assert config.load(file) == (before, file)
    file.write_text(config.as_toml(Config(), with_help=False))
    assert config.load(file)[0] == Config()


def test_every_key_is_a_flag_with_help_and_no_two_are_the_same() -> None:
    keys = list(config.keys())
    flags = [key.flag for key in keys]
    assert len(set(flags)) == len(flags)
    assert [f"{key.table}.{key.name}" for key in keys if not key.help] == []
    assert len(keys) > 60
    parser = argparse.ArgumentParser()
    config.add_flags(parser)
    help_text = parser.format_help()
    assert all(f"--{flag}" in help_text for flag in flags)


def test_flags_overrule_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[source]\ncamera = true\nwait = true\n[web]\nenabled = true\nport = 9000\n[mqtt]\nhost = "a"\n')
    got, _ = config.load(file, parsed("--source", "csi://0", "--web-port", "9001", "--no-web", "--mqtt-host", ""))
    assert (got.source.uri, got.source.camera, got.source.wait) == ("csi://0", False, True)
    assert (got.web.enabled, got.web.port, got.mqtt.host) == (False, 9001, "")
    assert config.load(file, parsed("--camera"))[0].source.camera


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[web]\nport = 1\nprot = 2\n", 3, "web.prot: unknown key; did you mean 'port'?"),
        ("[source]\nurl = 'x'\n", 2, "source.url: unknown key; did you mean 'uri'?"),
        ("\n[weeb]\n", 2, "weeb: unknown key; did you mean 'web'?"),
        ("[source]\nhot_c = 3.0\n", 2, "did you mean health.hot_c?"),
        ("port = 3\n", 1, "did you mean mqtt.port or web.port?"),
        ("web = true\n", 1, "expected a table"),
        ("[web]\nport = '8080'\n", 2, "web.port: found a text"),
        ("[web]\nport = 8080.5\n", 2, "web.port: found a number"),
        ("[model]\nthreads = 0\n", 2, "model.threads: found 0, expected 1 to 1024"),
        ("[model]\ntiles = [2, 'x']\n", 2, "model.tiles[1]: found a text"),
        ("[health]\nhot_c = nan\n", 2, "health.hot_c: found"),
        ("[health]\ncool_c = 90.0\n", 2, "expected 0 < cool_c < hot_c"),
        ("[log]\nlevel = 'loud'\n", 2, "expected one of debug, info"),
        ("[log]\nlevel = 2026-01-01\n", 2, "log.level: found a date, expected a plain value"),
        ("[source]\ncamera = true\nuri = 'csi://0'\n", 2, "expected one of them"),
        ("[web]\nport = \n", None, "not valid TOML"),
        ("[web\n", None, "not valid TOML"),
        ("[web]\nport = 1\nport = 2\n", None, "not valid TOML"),
        ("x.y.z = 1\n", None, "x: unknown key"),
    ],
)
def test_mistakes_are_said_with_their_line(tmp_path: Path, text: str, line: int | None, said: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        config.load(file)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"config {file}{f', line {line}' if line else ''}: ")


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        config.load(tmp_path / "c.toml")
    (tmp_path / "c.toml").write_bytes(b"[web]\n# \xff\n")
    with pytest.raises(ConfigError, match="no UTF-8"):
        config.load(tmp_path / "c.toml")
    (tmp_path / "c.toml").write_bytes(b"# x\n" * 300_000)
    with pytest.raises(ConfigError, match="more than"):
        config.load(tmp_path / "c.toml")


def test_the_default_file_is_taken_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    if Path("/etc/fer-edge/config.toml").exists():
        pytest.skip("there is a configuration on this machine")
    assert config.load(None) == (Config(), None)
    file = tmp_path / "fer-edge/config.toml"
    file.parent.mkdir()
    file.write_text("[web]\nport = 9\n")
    got, where = config.load(None)
    assert (got.web.port, where) == (9, file)


def refusal(action: Callable[[], object]) -> str:
    """What it says where it refuses; "" where it does not; anything but a refusal is a bug and goes through."""
    try:
        action()
    except EdgeError as error:
        return str(error)
    return ""


KEYS = [key.name for key in config.keys()]  # noqa: SIM118  # no dictionary's
SCALARS = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.text(max_size=8), st.none(), st.dates(),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*config.TABLES, "x"]),
        st.one_of(SCALARS, st.dictionaries(st.sampled_from([*KEYS, "y"]), SCALARS, max_size=3)),
        max_size=3,
    )
)
def test_any_tables_are_read_or_refused_in_one_line(tables: dict[str, object]) -> None:
    assert len(refusal(lambda: config.decode(tables)).splitlines()) <= 1


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60), st.text(alphabet="[]=\"'\n#.webport 0123456789_-{},", max_size=60).map(str.encode)
    )
)
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    assert len(refusal(lambda: config.decode(config.parse(content, "x"))).splitlines()) <= 1


def test_what_can_change_while_it_runs() -> None:
    after = config.decode({"web": {"port": 9}, "health": {"hot_c": 75.0}})
    assert config.differences(Config(), after) == ["health.hot_c", "web.port"]
    assert config.differences(after, after) == []


# -- the command -------------------------------------------------------------------------------------------------------


def test_check_and_show(
    edge: Edge, tmp_path: Path, one_line: OneLine, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "c.toml"
    monkeypatch.setenv("FER_EDGE_BUNDLE", str(bundle.path))
    file.write_text("[web]\nenabled = true\n")
    one_line(edge("config", "check", file), "no source; expected")  # as the run would
    done = edge("config", "check", file, "--source", "synthetic://")
    assert (done.returncode, done.stdout) == (0, f"{file}: no mistake found\n")
    shown = edge("config", "show", file, "--web-port", "9")
    assert shown.returncode == 0
    again = tmp_path / "again.toml"
    again.write_text(shown.stdout)
    got, _ = config.load(again)
    assert (got.web.enabled, got.web.port) == (True, 9)
    file.write_text("[source]\ncamera = true\n[web]\nenabeld = true\n")
    one_line(edge("config", "check", file), f"config {file}, line 4: web.enabeld: unknown key", "'enabled'")
    one_line(edge("run", "--config", file), "line 4")
    one_line(edge("run", "--source", "synthetic://", "--rate", "0"), "source.rate", "expected 0.1 to 1000")
    one_line(edge("run", "--source", "synthetic://", "--loop"), "--loop", "is no clip")
    one_line(edge("run"), "no source")


def test_run_help_imports_no_interpreter_and_no_mqtt() -> None:
    code = (
        "import sys\nfrom fer_edge.cli import main\n"
        "try:\n    main(['run', '--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(' '.join(m for m in ('ai_edge_litert', 'tflite_runtime', 'paho') if m in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--mqtt-host" in done.stdout


# -- log lines ---------------------------------------------------------------------------------------------------------


def test_a_message_is_logged_once_an_interval_with_a_count() -> None:
    now_s = 0.0
    limit = logs.RateLimit(10, lambda: now_s)
    out = []
    for second in range(25):
        now_s = float(second)
        record = logging.LogRecord("fer_edge.x", logging.WARNING, "", 0, "lost after %d frames", (second,), None)
        if limit.filter(record):
            out.append(record.getMessage())
    assert out == [
        "lost after 0 frames",
        "lost after 10 frames (9 more like it in 10 s)",
        "lost after 20 frames (9 more like it in 10 s)",
    ]
    assert limit.filter(logging.LogRecord("fer_edge.x", logging.ERROR, "", 0, "lost after 3 frames", (), None))


def test_lines_for_the_journal() -> None:
    record = logging.LogRecord("fer_edge.mqtt", logging.WARNING, "", 0, 'broker "x"\ngone', (), None)
    assert logs.KeyValue(True).format(record) == '<4>level=warning logger=fer_edge.mqtt msg="broker \\"x\\" gone"'
    assert logs.KeyValue(False).format(record).startswith("t=20")


def test_the_journal_is_recognized(tmp_path: Path) -> None:
    code = (
        "import os, sys, logging\nfrom fer_edge.program import logs\nstat = os.fstat(2)\n"
        "os.environ['JOURNAL_STREAM'] = f'{stat.st_dev}:{stat.st_ino}'\n"
        "logs.set_up(logs.LogSettings())\nlogging.getLogger('fer_edge.x').error('no')\nlogs.say('bye')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == [
        '<3>level=error logger=fer_edge.x msg="no"',
        '<6>level=info logger=fer_edge msg="bye"',
    ]
