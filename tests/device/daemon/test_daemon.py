"""The daemon's loop: state and counts, stop and start by hand, errors kept apart, a reduced rate, a short soak."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from recorded_trees import unpack

from fer_edge import config
from fer_edge.board.commands import recorded
from fer_edge.board.health import HealthMonitor, HealthSettings, Pacer
from fer_edge.contract.bundle import Bundle
from fer_edge.contract.reading import load_line
from fer_edge.daemon.launch import Launcher
from fer_edge.daemon.loop import Daemon
from fer_edge.daemon.switch import Switch
from fer_edge.errors import SourceError
from fer_edge.pipeline import Pipeline
from fer_edge.sources import live
from fer_edge.sources.live import LiveSource
from fer_edge.sources.reconnect import ReconnectingSource
from fer_edge.types import Frame, FrameReading, FrameSource, RgbImage, Status


class Camera(live.Camera):
    """Endless small pictures, 200 a second."""

    description = "test"
    n_open = 0

    def open(self) -> None:
        Camera.n_open += 1

    def read(self) -> tuple[RgbImage, float]:
        time.sleep(0.005)
        return np.zeros((48, 64, 3), np.uint8), time.monotonic()

    def close(self) -> None:
        Camera.n_open -= 1


class Reader:
    """Stands for the pipeline: what matters here is when frames come, not what is in them."""

    def read_frame(self, frame: Frame) -> FrameReading:
        return FrameReading(frame, ())


class Notes:
    """A sink that keeps everything; ``raises`` makes it a broken one."""

    name = "notes"

    def __init__(self, raises: bool = False) -> None:
        self.dropped, self.raises = 0, raises
        self.readings: list[FrameReading] = []
        self.statuses: list[Status] = []

    def publish(self, reading: FrameReading) -> None:
        if self.raises:
            raise ValueError("a bug in a sink")
        self.readings.append(reading)

    def status(self, status: Status) -> None:
        self.statuses.append(status)

    def close(self) -> None:
        pass


def daemon(
    sinks: list[Notes], opened: Callable[[], FrameSource] = lambda: LiveSource(Camera(), "x"), **more: object
) -> Daemon:
    def connect(on_wait: Callable[[str], None]) -> FrameSource:
        return ReconnectingSource(opened, "x", lambda _: None, on_wait)

    pipeline: Pipeline = Reader()  # type: ignore[assignment]
    return Daemon(connect, "x", pipeline, sinks, **more)  # type: ignore[arg-type]


def in_thread(subject: Daemon) -> threading.Thread:
    thread = threading.Thread(target=subject.run, daemon=True)
    thread.start()
    return thread


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def test_stopped_and_started_by_hand() -> None:
    notes = Notes()
    switch = Switch()
    subject = daemon([notes], switch=switch)
    thread = in_thread(subject)
    wait_until(lambda: len(notes.readings) > 5)
    switch.turn_off()
    switch.turn_off()
    wait_until(lambda: subject.status().state == "stopped")
    wait_until(lambda: Camera.n_open == 0)  # the camera is free for others
    n = len(notes.readings)
    time.sleep(0.3)
    assert len(notes.readings) == n
    assert subject.status().reason == "stopped by hand"
    switch.turn_on()
    wait_until(lambda: len(notes.readings) > n + 5)
    assert subject.status().state == "running"
    switch.turn_off()
    switch.turn_on()  # at once
    m = len(notes.readings)
    wait_until(lambda: len(notes.readings) > m + 5)
    subject._end("SIGTERM")  # as a signal does, which tests of the command send
    thread.join(10)
    assert not thread.is_alive()
    assert {status.state for status in notes.statuses} == {"running", "stopped", "waiting"}
    assert Camera.n_open == 0


def test_a_program_ends_it_from_another_thread() -> None:
    """While frames come, while it is stopped by hand, and before it began."""
    notes, switch = Notes(), Switch()
    subject = daemon([notes], switch=switch)
    thread = in_thread(subject)
    wait_until(lambda: notes.readings)
    subject.end("my program")
    thread.join(20)
    assert not thread.is_alive()
    assert subject.status().reason == "my program"
    wait_until(lambda: Camera.n_open == 0)

    stopped = daemon([], switch=Switch())
    stopped._switch.turn_off()
    thread = in_thread(stopped)
    wait_until(lambda: stopped.status().reason == "stopped by hand")
    stopped.end()
    thread.join(20)
    assert not thread.is_alive()

    never = daemon([])
    never.end()
    assert never.run().frames == 0


def test_what_the_status_says() -> None:
    tries: list[int] = []

    class Lost(Camera):
        """Gone after 40 frames."""

        n = 0

        def read(self) -> tuple[RgbImage, float]:
            self.n += 1
            if self.n > 40:
                raise SourceError("source x: gone")
            return super().read()

    def opened() -> FrameSource:
        tries.append(1)
        if len(tries) == 1:
            raise SourceError("source x: no such device")
        return LiveSource(Lost() if len(tries) == 2 else Camera(), "x")

    notes, broken = Notes(), Notes(raises=True)
    subject = daemon([broken, notes], opened, max_frames=120)
    summary = subject.run()
    assert summary.frames == len(notes.readings) == 120  # an error in one sink is not the others'
    assert notes.statuses[0].state == "waiting"
    assert notes.statuses[0].line == "waiting: source x: no such device"
    last = subject.status()
    assert last.state == "stopped"
    assert last.frames == 120
    assert last.dropped["notes"] == 120
    assert last.reconnects == 2  # it came, and it came back
    running = [status for status in notes.statuses if status.state == "running"]
    ages_s = {reading.age_s for reading in notes.readings}
    assert running
    assert all(status.frame_age_s in ages_s for status in running)
    assert len(notes.statuses) < 15 + summary.seconds  # once a second, and at changes


def test_a_hot_board_reads_slower_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every frame is paced by the board's factor, and the pause is the pacer's; how long that is, test_health says."""
    asked: list[float] = []
    pauses_s: list[float] = []
    monkeypatch.setattr(Pacer, "wait_s", lambda _, factor, now_s: asked.append(factor) or (0.0 if factor == 1 else 0.7))
    monkeypatch.setattr(Daemon, "_pause", lambda _, wait_s: pauses_s.append(wait_s))
    root = unpack("pi4", tmp_path)
    monitor = HealthMonitor(HealthSettings(slower_after_s=0.1), root, recorded(root))
    notes = Notes()
    subject = daemon([notes], health=monitor)
    thread = in_thread(subject)
    wait_until(lambda: len(notes.readings) > 100)
    (root / ".commands/vcgencmd get_throttled").write_text("throttled=0x4\n")
    monitor.look(1000.0)
    monitor.look(2000.0)
    n = len(asked) + 1  # the frame in work may have been asked for before
    wait_until(lambda: len(asked) > n + 20)
    wait_until(lambda: notes.statuses[-1].rate_factor < 1)
    subject._end("SIGTERM")
    thread.join(10)
    assert set(asked[:50]) == {1.0}
    assert set(asked[n:]) == {0.25}
    assert set(pauses_s[n : len(asked) - 1]) == {0.7}
    docs = [reading.to_doc() for reading in notes.readings]
    assert docs[20].rate_factor is None
    assert docs[-1].rate_factor == 0.25
    assert subject.status().tells_throttling
    assert subject.status().throttled == "under-voltage, throttled"  # the tree's own alarm and ours
    slowed = [status for status in notes.statuses if status.rate_factor < 1 and status.state == "running"]
    assert "rate x 0.25 (under-voltage, throttled)" in slowed[-1].line


def test_a_queue_of_lines_from_a_camera(bundle: Bundle, tmp_path: Path) -> None:
    """The launched whole with a camera: lines in the file, the interpreter's real readings in them."""
    target = tmp_path / "readings.jsonl"
    flags: config.Flags = {
        "source": {"camera": True},
        "model": {"bundle": str(bundle.path), "threads": 1},
        "jsonl": {"path": str(target)},
    }
    launcher = Launcher(config.decode(flags), None, flags, 30, camera=lambda: LiveSource(Camera(), "x"))
    before = signal.getsignal(signal.SIGTERM)
    assert "--max-frames 30: 30 frames" in str(launcher.run())
    assert signal.getsignal(signal.SIGTERM) is before
    lines = [load_line(line) for line in target.read_text().splitlines()]
    assert len(lines) == 30
    assert [line.frame_index for line in lines] == sorted({line.frame_index for line in lines})  # type: ignore[type-var]


def test_a_short_soak(bundle: Bundle, tmp_path: Path) -> None:
    """2,000 frames with a web page leave nothing behind; benchmarks/soak.py has 100,000, and bounds memory and age."""
    flags: config.Flags = {
        "source": {"uri": "synthetic://?width=128&height=96&n=2000"},
        "model": {"bundle": str(bundle.path), "threads": 1},
        "jsonl": {"path": os.devnull},
        "web": {"enabled": True, "port": 0},
        "metrics": {"enabled": True},
    }
    launcher = Launcher(config.decode(flags), None, flags)
    samples: list[tuple[int, int, int]] = []
    inner = launcher.pipeline.read_frame
    n = 0

    def read_frame(frame: Frame) -> FrameReading:
        nonlocal n
        n += 1
        if n % 100 == 0:
            n_files = min(len(os.listdir("/proc/self/fd")) for _ in range(5))  # the monitor opens a sensor now and then
            samples.append((sys.getallocatedblocks(), n_files, threading.active_count()))
        return inner(frame)

    launcher.pipeline.read_frame = read_frame  # type: ignore[method-assign]
    launcher.run()
    assert n == 2000
    blocks, files, threads = zip(*samples[5:], strict=True)
    # the page keeps some 20 objects of each second of the last minute; a kept reading would be 20 of each frame
    assert blocks[-1] - blocks[0] < 5 * 1400
    assert min(files[-5:]) <= min(files[:5])  # one that a busy machine keeps open a moment longer is none left behind
    assert min(threads[-5:]) <= min(threads[:5])
