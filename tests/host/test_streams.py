"""Standard streams that are closed, full or not read to the end, and Ctrl-C at any moment: every command of the host.

Each command's help goes through the same frame as its work; the cheap ones do their work here as well. The device's
commands are in tests/device/commands/test_streams.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fer_host.cli import _parser

ROOT = Path(__file__).parents[2]
START = ROOT / "host/bin/fer-host"  # as a user starts it; it takes the python3 of PATH
COMMANDS = sorted(name for action in _parser()._actions for name in (action.choices or ()))
LINES = [[name, "--help"] for name in COMMANDS] + [["models", "--json"], ["models"]]
Done = subprocess.CompletedProcess[str]


def start(line: list[str], redirected: str = "", **options: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = f"{ROOT / 'device'}:{ROOT / 'host'}"
    script = ["sh", "-c", f'exec "$0" "$@" {redirected}', str(START), *line]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment, "cwd": ROOT}
    return subprocess.Popen(script, **{**piped, **options})  # type: ignore[call-overload, no-any-return]


def finish(process: subprocess.Popen[str]) -> Done:
    out, errors = process.communicate(timeout=120)
    assert "Traceback" not in (errors or ""), errors
    assert "Exception ignored" not in (errors or ""), errors
    return subprocess.CompletedProcess(process.args, process.returncode, out or "", errors or "")


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_standard_output_that_cannot_be_written(line: list[str]) -> None:
    for redirected, why in ((">&-", "closed"), (">/dev/full", "No space left on device")):
        done = finish(start(line, redirected))
        assert done.returncode == 2
        assert done.stderr == f"fer-host: error: standard output: {why}; expected one that can be written\n"


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_a_reader_that_went_away(line: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    process = start(line, stdout=write)
    os.close(write)
    done = finish(process)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_does_not_take_the_place_of_standard_error(tmp_path: Path) -> None:
    target = tmp_path / "astronaut.png"
    done = finish(start(["sample-photo", str(target)], "<&- 2>&-"))
    assert done.returncode == 0
    assert target.read_bytes() == (ROOT / "build/photos/astronaut.png").read_bytes() or target.stat().st_size > 10_000
    assert target.read_bytes().endswith(b"IEND\xaeB`\x82")


def test_an_error_that_nobody_can_read_keeps_its_status() -> None:
    for redirected in ("2>&-", "2>/dev/full", ">&- 2>&-"):
        done = finish(start(["evaluate", "/nowhere", "--data", "/nowhere"], redirected))
        assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize(
    ("line", "delays_ms"),
    [
        (["models", "--json"], (2, 10, 20, 30, 45, 60, 90, 130, 180, 240, 500)),
        (["convert", "hawqc_mbv2", "--quiet", "--out", "{out}"], (10, 100, 400, 1500, 4000)),
    ],
)
def test_ctrl_c_at_any_moment(line: list[str], delays_ms: tuple[int, ...], tmp_path: Path) -> None:
    """From the start of the shell that starts Python: no traceback, and 130 as a shell sees it (or death by SIGINT)."""
    if subprocess.run(["env", "--block-signal=INT", "true"], check=False).returncode:
        pytest.skip("this machine's env cannot block signals (coreutils before 8.31)")
    seen = set()
    for delay_ms in delays_ms:
        process = start([word.format(out=tmp_path / "bundle") for word in line])
        time.sleep(delay_ms / 1000)
        process.send_signal(signal.SIGINT)
        done = finish(process)
        assert done.returncode in (0, 130, -signal.SIGINT), (delay_ms, done.stderr)
        assert done.stderr in ("", "fer-host: stopped\n"), (delay_ms, done.stderr)
        seen.add(done.returncode)
        if done.returncode:
            assert not (tmp_path / "bundle").exists()
    assert seen & {130, -signal.SIGINT}
