"""systemd's notifications on real datagram sockets: ready, status, and a watchdog that only progress feeds."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fer_edge.contract.bundle import Bundle
from fer_edge.daemon.notify import Notifier


class Manager:
    """Listens as systemd does."""

    def __init__(self, address: str | bytes) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.got: list[str] = []

    def listen(self, seconds: float, until: str = "\0") -> list[str]:
        """What comes in so many seconds, or until a datagram begins like this."""
        end, new = time.monotonic() + seconds, []
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                new.append(self.socket.recv(4096).decode())
            except TimeoutError:
                break
            if new[-1].startswith(until):
                break
        self.got += new
        return new


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.socket.close()


def test_what_is_said(manager: Manager, tmp_path: Path) -> None:
    now_s = 0.0
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "8000000", "WATCHDOG_PID": str(os.getpid())}
    notifier = Notifier(environ, lambda: now_s)
    notifier.ready()
    notifier.ready()
    notifier.status("waiting:\nno camera")
    notifier.status("waiting:\nno camera")
    for step in range(40):
        now_s = step / 10
        notifier.progress()
    before_s = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000 / 1e6
    notifier.reloading()
    notifier.ready()
    notifier.stopping()
    notifier.close()
    got = manager.listen(0.2)
    assert got[:2] == ["READY=1", "STATUS=waiting: no camera"]
    assert got[2:4] == ["WATCHDOG=1", "WATCHDOG=1"]  # twice an interval of 8 s would do; every 2 s
    assert got[4].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert before_s <= int(got[4].rpartition("=")[2]) / 1e6 <= time.clock_gettime(time.CLOCK_MONOTONIC)
    assert got[5:] == ["READY=1", "STOPPING=1"]


def test_an_abstract_address() -> None:
    name = f"fer-edge-test-{os.getpid()}"
    manager = Manager(b"\0" + name.encode())
    Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
    assert manager.listen(0.5, "READY") == ["READY=1"]
    manager.socket.close()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"NOTIFY_SOCKET": ""},
        {"NOTIFY_SOCKET": "vsock:2:1"},
        {"NOTIFY_SOCKET": "/nowhere/notify"},
        {"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "x"},
    ],
)
def test_nobody_listens(environ: dict[str, str]) -> None:
    notifier = Notifier(environ)
    notifier.ready()
    notifier.progress()
    notifier.close()
    assert notifier.watchdog_s is None


def test_another_process_watchdog_is_left_alone() -> None:
    assert Notifier({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog_s is None
    assert Notifier({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000000"}).watchdog_s == 1


HANGING = """
import sys, threading, time
import numpy as np
from fer_edge import config
from fer_edge.daemon.launch import Launcher
from fer_edge.sources import live
from fer_edge.sources.live import LiveSource

class Camera(live.Camera):
    description = "hangs after 20 frames"
    n = 0
    def open(self): pass
    def read(self):
        Camera.n += 1
        if Camera.n > 20:
            threading.Event().wait()
        time.sleep(0.05)
        return np.zeros((48, 64, 3), np.uint8), time.monotonic()
    def close(self): pass

flags = {"source": {"camera": True}, "model": {"bundle": sys.argv[1], "threads": 1}}
launcher = Launcher(config.decode(flags), None, flags, camera=lambda: LiveSource(Camera(), "x", stall_s=60))
launcher.run()
"""


def test_a_source_that_hangs_starves_the_watchdog(manager: Manager, bundle: Bundle, tmp_path: Path) -> None:
    """While frames come it is fed twice a second; once they stop, never again, and systemd would kill."""
    environ = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, str(bundle.path)], env=environ, stderr=subprocess.DEVNULL
    )
    try:
        assert manager.listen(30, "READY=1")[-1] == "READY=1"
        assert manager.listen(1.5).count("WATCHDOG=1") >= 1
        assert process.poll() is None
        manager.listen(2)  # the 20 frames last one second
        assert "WATCHDOG=1" not in manager.listen(2.5)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_waiting_for_a_camera_is_progress(manager: Manager, bundle: Bundle, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "fer_edge.cli", "run", "--source", "v4l2:///nowhere/video0", "--wait"]
    environ = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    process = subprocess.Popen([*line, "--bundle", str(bundle.path)], env=environ, stderr=subprocess.PIPE, text=True)
    first = manager.listen(30, "WATCHDOG=1")
    assert manager.listen(30, "READY=1")[-1] == "READY=1" or "READY=1" in first
    manager.listen(1.5)
    assert manager.got.count("WATCHDOG=1") >= 3
    assert any(text.startswith("STATUS=waiting: source v4l2:///nowhere/video0: no such device") for text in manager.got)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert "STOPPING=1" in manager.listen(0.5)
    assert said.count("waiting for a camera") == 1


def test_a_run_says_how_it_goes_and_reloads(manager: Manager, bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[source]\nuri = "synthetic://?width=320&height=240"\nrate = 10.0\n[web]\nport = 1\n')
    line = [sys.executable, "-m", "fer_edge.cli", "run", "--config", str(file), "--bundle", str(bundle.path)]
    environ = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
    process = subprocess.Popen(line, env=environ, stderr=subprocess.PIPE, text=True)
    assert manager.listen(30, "READY=1")[-1] == "READY=1"
    file.write_text(file.read_text().replace("port = 1", "port = 2") + "[health]\nhot_c = 60.0\ncool_c = 50.0\n")
    process.send_signal(signal.SIGHUP)
    assert manager.listen(10, "RELOADING=1")[-1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert manager.listen(10, "READY=1")[-1] == "READY=1"
    file.write_text("[web]\nprot = 1\n")
    process.send_signal(signal.SIGHUP)
    manager.listen(10, "READY=1")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert "reload: now in use: health.hot_c, health.cool_c; needs a restart: web.port" in said
    assert "web.prot: unknown key; did you mean 'port'?; going on as before" in said
    assert "frames per second" in " ".join(manager.got)
