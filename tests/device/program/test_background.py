"""The list of threads in the background is complete, and an error planted in each kind of them is survived."""

from __future__ import annotations

import ast
import logging
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import web_helpers as helpers
from web_helpers import until

import fer_edge
from fer_edge.board.health import HealthMonitor, HealthSettings
from fer_edge.errors import SourceError
from fer_edge.profiler import sampler as sampler_module
from fer_edge.profiler.sampler import Sampler
from fer_edge.program import own, threads
from fer_edge.program.background import GUARDED, LIBRARY, OTHER, THREADS, name_of
from fer_edge.program.threads import OnceThread
from fer_edge.sinks.fanout import QueuedSink
from fer_edge.sinks.metrics import MetricsSink
from fer_edge.sources.live import Camera, LiveSource
from fer_edge.sources.parts import _Part
from fer_edge.sources.reconnect import ReconnectingSource
from fer_edge.types import RgbImage

OURS = ("GuardedThread", "OnceThread")
OTHERS = {"Thread", "Timer", "loop_start", "start_new_thread", "Process", "Pool", "to_thread", "run_in_executor"}
PLACE = Path(fer_edge.__file__).parent


def _is_other(name: str) -> bool:
    return name in OTHERS or name.endswith("PoolExecutor") or name.startswith("Threading") or name == "ThreadPool"


def started(folder: Path) -> tuple[set[tuple[str, str, str]], set[str]]:
    """What starts threads: ours as (file, class, how the name begins), and the files that start them otherwise."""
    ours, others = set(), set()
    for path in folder.rglob("*.py"):
        file = str(path.relative_to(folder))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            calls = [node.func] if isinstance(node, ast.Call) else node.bases if isinstance(node, ast.ClassDef) else []
            for called in calls:
                name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
                if name in OURS and isinstance(node, ast.Call):
                    first = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
                    assert isinstance(first, ast.Constant), f"{file}:{node.lineno}: a name that begins with a text"
                    ours.add((file, name, str(first.value)))
                elif _is_other(name):
                    others.add(file)
            if isinstance(node, ast.ImportFrom) and node.module in ("threading", "_thread", "concurrent.futures"):
                others |= {file for alias in node.names if _is_other(alias.name)}
    return ours, others


def test_the_list_is_complete() -> None:
    """A thread that is started somewhere else: give it a row, or use what there is."""
    ours, others = started(PLACE)
    kinds = {GUARDED: "GuardedThread", "once": "OnceThread"}
    expected = {(row.file, kinds[row.kind], row.name.rstrip()) for row in THREADS if row.kind != LIBRARY}
    assert {(file, kind, name.rstrip()) for file, kind, name in ours} == expected
    assert others == {"program/threads.py", *(row.file for row in THREADS if row.kind == LIBRARY)}


@pytest.mark.parametrize(
    "line",
    [
        "import threading\nthreading.Thread(target=print).start()",
        "from threading import Thread as T\nT(target=print).start()",
        "import threading\nclass Mine(threading.Timer): pass",
        "from concurrent.futures import ThreadPoolExecutor",
        "import http.server\nhttp.server.ThreadingHTTPServer(('', 0), None)",
    ],
)
def test_a_planted_thread_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "planted.py").write_text(line)
    assert started(tmp_path) == (set(), {"planted.py"})


def test_names() -> None:
    assert [row.name for row in THREADS if name_of(row.name) != row.name] == []
    assert name_of("sink jsonl") == "sink jsonl"
    assert (name_of("capture v4l2:///dev/video0"), name_of("web"), name_of("webx")) == ("capture", "web", OTHER)
    assert name_of("Thread-12 (process_request_thread)") == OTHER


PICTURE: RgbImage = np.zeros((4, 6, 3), dtype=np.uint8)


class Broken(Camera):
    """Its third frame is a bug of its library's."""

    description, corrupt = "broken", 0

    def __init__(self, said: str = "planted in the camera") -> None:
        self.reads, self.said = 0, said

    def open(self) -> None: ...

    def read(self) -> tuple[RgbImage, float]:
        self.reads += 1
        if self.reads == 3:
            raise RuntimeError(self.said)
        return PICTURE, time.monotonic()

    def close(self) -> None: ...


@pytest.fixture
def counted() -> Callable[[str], int]:
    before = threads.errors()
    return lambda name: threads.errors().get(name, 0) - before.get(name, 0)


def test_each_running_thread_is_in_the_list(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as broker, helpers.site() as web:
        mqtt = pytest.importorskip("paho.mqtt.client") and _mqtt(broker.getsockname()[1])
        monitor = HealthMonitor(HealthSettings(), tmp_path)
        monitor.start(lambda _: None)
        queued = QueuedSink(MetricsSink())
        source = LiveSource(Broken(), "csi://0")
        connection, _ = broker.accept()  # and says nothing
        with connection, socket.create_connection(("127.0.0.1", web.port)):
            expected = {"web", "web connection", "mqtt", "mqtt answer", "health", "sink metrics", "capture"}

            def running() -> set[str]:
                return {name_of(thread.name) for thread in set(threading.enumerate()) - before}

            until(lambda: running() | {"capture"} >= expected, "all of them run")
            assert running() - expected == set()
        source.close()
        queued.close()
        monitor.close()
        mqtt.close()


def _mqtt(port: int) -> Any:
    from mqtt_helpers import settings

    from fer_edge.contract.labels import EMOTIONS8
    from fer_edge.sinks.mqtt.sink import MqttSink

    return MqttSink(settings(port), EMOTIONS8)


def test_a_camera_that_raises_what_it_likes_comes_back(
    counted: Callable[[str], int], caplog: pytest.LogCaptureFixture
) -> None:
    opened = 0

    def open_source() -> LiveSource:
        nonlocal opened
        opened += 1
        return LiveSource(Broken("planted twice"), "csi://0")

    source = ReconnectingSource(open_source, "csi://0", lambda _: None)
    with caplog.at_level(logging.ERROR):
        for _ in source:
            if opened == 3:
                source.close()
    assert counted("capture") >= 2
    assert [bool(record.exc_info) for record in caplog.records][:2] == [True, False]


def test_one_that_ends_the_run_says_why() -> None:
    with pytest.raises(SourceError, match="planted in the camera"):
        list(LiveSource(Broken(), "csi://0"))


def test_the_page_outlives_errors(counted: Callable[[str], int], monkeypatch: pytest.MonkeyPatch) -> None:
    class Bad(helpers.Switch):
        def read_photo(self, content: bytes) -> Any:
            raise RuntimeError("planted in the photo")

    monkeypatch.setattr(threads, "FIRST_WAIT_S", 0.01)
    with helpers.site(Bad()) as web:
        raised = threading.Event()

        def once() -> None:
            if not raised.is_set():
                raised.set()
                raise OSError(24, "Too many open files")

        monkeypatch.setattr(web._server, "service_actions", once)
        assert raised.wait(helpers.WAIT_S)
        until(lambda: counted("web") == 1, "counted")
        picture = helpers.jpeg(np.zeros((32, 32, 3), np.uint8))
        for n in (1, 2):
            with pytest.raises(ConnectionError):
                helpers.post_photo(web.port, picture)
            until(lambda n=n: counted("web connection") == n, "counted")  # type: ignore[misc]
        assert helpers.ask(web.port, "GET", "/style.css")[0] == 200
    assert "web" not in threads.dead()


def test_a_decoder_that_is_fed_no_more_ends(counted: Callable[[str], int]) -> None:
    class Packets:
        codec, shown = 0, 0

        @property
        def packet(self) -> bytes:
            raise RuntimeError("planted in the packets")

    part = _Part(Packets())  # type: ignore[arg-type]
    assert part.read() is None
    part.close()
    assert counted("packets") == 1


def test_a_measurement_goes_on_without_a_probe(
    counted: Callable[[str], int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looks = 0

    def clocks(_: Path) -> dict[str, float]:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise OSError(5, "Input/output error")
        return {"cpu0": 1000.0}

    monkeypatch.setattr(sampler_module, "clocks_mhz", clocks)
    with Sampler(None, tmp_path) as sampler:
        until(lambda: sampler.clock, "it goes on")
    assert counted("sampler") == 1


def test_what_is_done_once(counted: Callable[[str], int]) -> None:
    def fail() -> None:
        raise ValueError("planted")

    once = OnceThread("mqtt stop", fail)
    once.start()
    once.join(helpers.WAIT_S)
    assert isinstance(once.error, ValueError)
    assert counted("mqtt stop") == 1
    later = OnceThread("mqtt answer", fail, wait_s=helpers.WAIT_S)
    later.start()
    later.cancel()
    later.join(helpers.WAIT_S)
    assert not later.is_alive()
    assert later.error is None


def test_a_librarys_thread_that_dies_is_told(counted: Callable[[str], int], caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise KeyError("planted")

    before = threading.excepthook
    try:
        with own.owned():
            thread = threading.Thread(target=fail, name="of picamera2")
            thread.start()
            thread.join(helpers.WAIT_S)
    finally:
        threading.excepthook = before
    assert counted(OTHER) == 1
    assert "thread other: KeyError: 'planted'" in caplog.text
