"""Standard streams that are closed, full or not read to the end, and Ctrl-C at any moment: every command.

A command that is added to the parser and not to LINES fails here.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from fer_edge.cli import make_parser
from fer_edge.contract.bundle import Bundle
from fer_edge.contract.reading import load_line
from fer_edge.types import RgbImage

ROOT = Path(__file__).parents[3]
START = ROOT / "device/bin/fer-edge"  # as a user starts it; it takes the python3 of PATH
SYNTHETIC = "synthetic://?n=3&width=320&height=240"
LINES = {
    "image": ["image", "{photo}", "--bundle", "{bundle}"],
    "run": ["run", "--source", SYNTHETIC, "--jsonl", "-", "--bundle", "{bundle}"],
    "config": ["config", "show"],
    "service": ["service", "status"],
    "web": ["web", "--bundle", "/nowhere"],
    "bench": ["bench", "--mode", "model", "--n", "2", "--warmup", "1", "--json", "--no-power", "--bundle", "{bundle}"],
    "compare": ["compare", "/nowhere/a.json", "/nowhere/b.json"],
    "baseline": ["baseline", "{photo}", "--bundle", "{bundle}", "--out", "/nowhere/own.json"],
    "tune": ["tune", "--forget", "--bundle", "{bundle}"],
    "verify": ["verify", "--bundle", "{bundle}"],
    "doctor": ["doctor", "--bundle", "{bundle}"],
    "info": ["info", "--bundle", "{bundle}"],
    "bundles": ["bundles", "--bundle", "{bundle}"],
}
Done = subprocess.CompletedProcess[str]
Start = Callable[..., subprocess.Popen[str]]


def commands(parser: argparse.ArgumentParser) -> list[str]:
    return [name for action in parser._actions for name in (action.choices or ())]


def test_every_command_is_tried_here() -> None:
    assert sorted(LINES) == sorted(commands(make_parser("")))


@pytest.fixture(scope="module")
def start(bundle: Bundle, drawn: RgbImage, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Starts a command's line of LINES as a user does."""
    photo = tmp_path_factory.mktemp("photo") / "drawn.png"
    cv2.imwrite(str(photo), drawn[:, :, ::-1])
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(photo.parent),
    }
    environment["PYTHONPATH"] = str(ROOT / "device")

    def begin(line: list[str], redirected: str = "", **options: object) -> subprocess.Popen[str]:
        words = [word.format(photo=photo, bundle=bundle.path) for word in line]
        script = ["sh", "-c", f'exec "$0" "$@" {redirected}', str(START), *words]
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
        return subprocess.Popen(script, **{**piped, **options})  # type: ignore[call-overload, no-any-return]

    return begin


@pytest.fixture(scope="module")
def usual(start: Start) -> Callable[[str], Done]:
    """What a command does where nothing is wrong with its streams; asked once."""
    known: dict[str, Done] = {}

    def ask(name: str) -> Done:
        if name not in known:
            known[name] = finish(start(LINES[name]))
        return known[name]

    return ask


def finish(process: subprocess.Popen[str]) -> Done:
    out, errors = process.communicate(timeout=120)
    assert "Traceback" not in (errors or ""), errors
    assert "Exception ignored" not in (errors or ""), errors
    return subprocess.CompletedProcess(process.args, process.returncode, out or "", errors or "")


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize(("redirected", "why"), [(">&-", "closed"), (">/dev/full", "No space left on device")])
def test_standard_output_that_cannot_be_written(
    start: Start, usual: Callable[[str], Done], name: str, redirected: str, why: str
) -> None:
    """One line and status 2, where something would have been printed; else nothing changes."""
    before = usual(name)
    done = finish(start(LINES[name], redirected))
    if not before.stdout:
        assert (done.returncode, done.stderr) == (before.returncode, before.stderr)
        return
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("fer-edge: error: ")]
    assert len(said) == 1, done.stderr
    assert why in said[0] or (name == "run" and "Bad file descriptor" in said[0])


@pytest.mark.parametrize("name", LINES)
def test_a_reader_that_went_away(start: Start, usual: Callable[[str], Done], name: str) -> None:
    """``| head``: no error."""
    before = usual(name)
    read, write = os.pipe()
    os.close(read)
    process = start(LINES[name], stdout=write)
    os.close(write)
    done = finish(process)
    assert done.returncode == (0 if before.stdout else before.returncode), done.stderr
    assert "Broken pipe" not in done.stderr


@pytest.mark.parametrize("name", LINES)
def test_standard_error_that_is_closed(start: Start, usual: Callable[[str], Done], name: str) -> None:
    """The answer and the status stay, and nothing of an error gets into the answer."""
    before = usual(name)
    done = finish(start(LINES[name], "2>&-"))
    assert done.returncode == before.returncode
    assert bool(done.stdout) == bool(before.stdout)
    assert "fer-edge: " not in done.stdout
    if name == "info":
        assert done.stdout == before.stdout


@pytest.mark.parametrize("redirected", ["2>&-", "<&- 2>&-", "<&- >&- 2>&-", ">&- 2>/dev/full"])
def test_no_file_takes_the_place_of_a_stream(start: Start, tmp_path: Path, redirected: str) -> None:
    """A file that is opened while 0, 1 or 2 is free would get that number, and then what is written to it."""
    out = tmp_path / "readings.jsonl"
    line = ["run", "--source", SYNTHETIC, "--jsonl", str(out), "--bundle", "{bundle}"]
    assert finish(start(line, redirected)).returncode == 0
    assert len([load_line(text) for text in out.read_text().splitlines()]) == 3


def test_a_pipe_that_does_not_block_loses_nothing(start: Start, usual: Callable[[str], Done]) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    process = start([*LINES["config"]], stdout=write)
    os.close(write)
    time.sleep(0.5)
    with os.fdopen(read) as reader:
        text = reader.read()
    assert finish(process).returncode == 0
    assert text == usual("config").stdout


def test_help_to_a_full_disk(start: Start) -> None:
    for line in (["--help"], ["--version"], ["run", "--help"]):
        done = finish(start(line, ">/dev/full"))
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr


# -- Ctrl-C ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["info", "image", "run", "verify", "config", "bench"])
def test_ctrl_c_at_any_moment(start: Start, usual: Callable[[str], Done], name: str) -> None:
    """From the start of the shell that starts Python: no traceback, and 130 as a shell sees it (or death by SIGINT)."""
    line = list(LINES[name])
    if name == "run":
        line[2] = "synthetic://"  # without an end
    if subprocess.run(["env", "--block-signal=INT", "true"], check=False).returncode:
        pytest.skip("this machine's env cannot block signals (coreutils before 8.31)")
    seen = set()
    for delay_ms in (2, 10, 20, 30, 45, 60, 90, 130, 180, 240, 320, 500, 800, 1300):
        process = start(line)
        time.sleep(delay_ms / 1000)
        process.send_signal(signal.SIGINT)
        done = finish(process)
        said = [text for text in done.stderr.splitlines() if not text.startswith("fer-edge: ")]
        assert said == [], (delay_ms, done.stderr)
        assert done.returncode in (130, -signal.SIGINT, *((0,) if name != "run" else ())), (delay_ms, done.stderr)
        seen.add(done.returncode)
    assert seen & {130, -signal.SIGINT}


def test_ctrl_c_that_is_ignored_stays_ignored(start: Start) -> None:
    """``nohup``, or a job in the background of a script."""
    process = start(["info", "--bundle", "{bundle}"], preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.returncode == 0
    assert done.stdout


def test_a_second_ctrl_c_is_answered_too(start: Start) -> None:
    process = start(["run", "--source", "synthetic://", "--jsonl", "-", "--bundle", "{bundle}"])
    assert process.stdout is not None
    json.loads(process.stdout.readline())
    for _ in range(20):
        process.send_signal(signal.SIGINT)
    assert finish(process).returncode in (130, -signal.SIGINT)


def test_an_interrupt_that_a_destructor_swallows_is_heard() -> None:
    """Python prints and forgets what a ``__del__`` raises."""
    code = """if True:
        import os, signal, sys, time
        from fer_edge.contract import process
        class Swallows:
            def __del__(self):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)
        def command():
            Swallows()
            time.sleep(20)
            return 0
        sys.exit(process.run("fer-edge", command))
    """
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (130, "fer-edge: stopped\n")
    assert time.monotonic() - began < 10
