"""A board that is a process of its own: a real ``fer-edge run``, or its senders alone with readings read before.

Both live in namespaces of mounts and host names, with a machine id of their own. The light kind is forked from one
process, so that a hundred fit: its page of metrics, its MQTT and its threads are the program's own; camera and networks
it has none.
"""
# ruff: noqa: E402  # the tests' helpers lie elsewhere

from __future__ import annotations

import ctypes
import dataclasses
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "device"))
import fleet_helpers as fleet
import web_helpers as helpers

from fer_edge import config
from fer_edge.daemon.launch import Launcher
from fer_edge.sinks.fanout import Fanout
from fer_edge.sinks.metrics import MetricsSink
from fer_edge.sinks.mqtt.settings import MqttSettings
from fer_edge.sinks.mqtt.sink import MqttSink
from fer_edge.sinks.running import Running, what_runs
from fer_edge.sinks.web.settings import WebSettings
from fer_edge.sinks.web.sink import WebSink
from fer_edge.sources.open import parse_uri
from fer_edge.sources.synthetic import SyntheticSource
from fer_edge.types import FrameReading, Status

SOURCE = "synthetic://?width=160&height=120"
CLONE_NEWNS, CLONE_NEWUTS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x4000000, 0x1000, 0x4000, 0x40000
NICE = 10
WAIT_S = helpers.WAIT_S = 300.0  # for one to begin or end, beside all the others
Read = tuple[Sequence[FrameReading], Running, tuple[str, ...]]


class RealBoard:
    """``fer-edge run`` on drawn faces."""

    def __init__(self, name: str, folder: Path, broker_port: int, fps: float) -> None:
        folder.mkdir()
        (folder / "web-token").write_text(fleet.TOKEN + "\n")
        self._program = helpers.Program(
            *("nice", "-n", NICE, *fleet.in_own_namespace(folder, name)),
            *(sys.executable, "-m", "fer_edge.cli", "run", "--source", SOURCE, "--rate", fps, "--threads", 1),
            *("--metrics", "--web-port", 0, "--web-token-file", folder / "web-token"),
            *("--mqtt-host", "127.0.0.1", "--mqtt-port", broker_port),
        )

    def port(self) -> int:
        """Of its page of metrics, when it answers."""
        return int(self._program.line("http://").partition("http://")[2].split("/")[0].rpartition(":")[2])

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._program.process.pid

    def complaints(self) -> list[str]:
        """Lines of its log that tell of another client with its id, or of a connection that did not hold."""
        return [line for line in self._program.lines if "same id" in line or "lost" in line]

    def end(self) -> None:
        """Ends it; a busy machine needs a while for that."""
        self._program.process.terminate()
        self._program.process.wait(WAIT_S)


def read_once(n: int) -> Read:
    """Real readings of ``n`` drawn faces, what read them, and its labels."""
    flags = {"source": {"uri": SOURCE}, "model": {"threads": 1}}
    launcher = Launcher(config.decode(flags), None, flags)
    readings = [launcher.pipeline.read_frame(frame) for frame in SyntheticSource(parse_uri(f"{SOURCE}&n={n}"))]
    manifest = launcher.bundle.manifest
    return readings, what_runs(manifest, launcher.setting, SOURCE), manifest.labels


class LightBoard:
    """The program's senders in a forked process, fed with readings that were read before."""

    def __init__(
        self,
        name: str,
        folder: Path,
        broker_port: int,
        fps: float,
        read: Read,
    ) -> None:
        folder.mkdir()
        (folder / "machine-id").write_text(fleet.hash_of(name) + "\n")
        (folder / "web-token").write_text(fleet.TOKEN + "\n")
        self._reads, writes = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.nice(NICE)
                _own_namespace(name, folder)
                _send(folder, broker_port, fps, read, writes)
            finally:
                os._exit(1)
        os.close(writes)

    def port(self) -> int:
        """Of its page of metrics, when it answers."""
        with os.fdopen(self._reads, "rb") as pipe:
            return int(pipe.readline())

    def end(self) -> None:
        """Ends it."""
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)


def _own_namespace(name: str, folder: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def must(status: int, what: str) -> None:
        if status:
            raise OSError(ctypes.get_errno(), f"{what} of {name}")

    must(libc.unshare(CLONE_NEWNS | CLONE_NEWUTS), "unshare")
    must(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "private mounts")
    must(libc.mount(str(folder / "machine-id").encode(), b"/etc/machine-id", None, MS_BIND, None), "machine id")
    must(libc.sethostname(name.encode(), len(name)), "host name")


def _send(
    folder: Path,
    broker_port: int,
    fps: float,
    read: Read,
    tell: int,
) -> None:
    """As ``daemon.senders`` opens them, and the loop publishes: every frame, and once a second the status."""
    readings, running, labels = read
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    metrics = MetricsSink(running, labels)
    settings = WebSettings(port=0, token_file=str(folder / "web-token"))
    web = WebSink(settings, helpers.Switch(), metrics, False, running)
    mqtt = MqttSink(MqttSettings(host="127.0.0.1", port=broker_port), labels, running)
    fanout = Fanout([metrics, web, mqtt])
    os.write(tell, f"{web.port}\n".encode())
    began_s, told_s, index = time.monotonic(), 0.0, 0
    while not ended.wait(max(0.0, began_s + index / fps - time.monotonic())):
        reading = readings[index % len(readings)]
        now_s = time.monotonic()
        frame = dataclasses.replace(reading.frame, t_capture_s=now_s, index=index, can_be_late=True)
        reading = dataclasses.replace(reading, frame=frame).published()
        fanout.publish(reading)
        if now_s - told_s >= 1:
            told_s = now_s
            dropped = {"source": 0, **fanout.dropped_by_sink}
            fanout.status(Status("running", SOURCE, fps, reading.age_s, index, dropped))
        index += 1
    mqtt.close()
    web.close()
    os._exit(0)
