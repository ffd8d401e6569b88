"""Threads in the background: an error is said once with its place, counted, and the work begins again."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_edge.board.commands import recorded
from fer_edge.board.health import HealthMonitor, HealthSettings
from fer_edge.daemon.loop import Daemon
from fer_edge.daemon.notify import Notifier
from fer_edge.program import threads
from fer_edge.program.threads import GuardedThread
from fer_edge.sinks.metrics import MetricsSink
from fer_edge.types import Status


def until(condition: Callable[[], object], longest_s: float = 10.0) -> None:
    deadline = time.monotonic() + longest_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def test_the_work_begins_again_and_is_said_once_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    n, before = 0, threads.errors().get("tested", 0)
    gate = threading.Event()

    def work() -> None:
        nonlocal n
        n += 1
        if n <= 3:
            raise OSError(24, "Too many open files")
        gate.wait(10)

    thread = GuardedThread("tested", work, first_wait_s=0.001)
    with caplog.at_level(logging.ERROR):
        thread.start()
        until(lambda: n == 4)
    assert not thread.is_dead
    assert thread.errors == 3
    assert threads.errors()["tested"] == before + 3
    assert [bool(record.exc_info) for record in caplog.records] == [True, False, False]
    assert (
        f"thread tested: OSError: [Errno 24] Too many open files; {before + 1} errors so far, it begins again"
        in caplog.text
    )
    sink = MetricsSink()
    sink.status(Status("running", "x"))
    assert f'fer_edge_thread_errors_total{{thread="tested"}} {before + 3}' in sink.text()
    gate.set()
    thread.close(5)
    assert threads.errors()["tested"] == before + 3, "a counter that falls is none"


def test_waits_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "LONGEST_WAIT_S", 0.08)
    starts: list[float] = []

    def work() -> None:
        starts.append(time.monotonic())
        raise ValueError

    thread = GuardedThread("tested", work, first_wait_s=0.01)
    thread.start()
    until(lambda: len(starts) == 6)
    thread.close(5)
    waits = [b - a for a, b in itertools.pairwise(starts)]
    for wait_s, least_s in zip(waits, (0.01, 0.02, 0.04, 0.08, 0.08), strict=True):
        assert wait_s >= least_s
    assert thread.errors < 8  # never a busy loop


def test_heat_protection_outlives_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Security fault S4: the first OSError ended it for good, unsaid."""
    monkeypatch.setattr(threads, "FIRST_WAIT_S", 0.01)
    looks, before = 0, threads.errors().get("health", 0)

    def command(*_: str) -> str:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise MemoryError
        return "throttled=0x4"

    monitor = HealthMonitor(HealthSettings(interval_s=0.01, slower_after_s=0.01), tmp_path, command)
    monitor.start(lambda _: None)
    until(lambda: monitor.rate_factor == 0.25)
    assert threads.errors()["health"] == before + 1
    monitor.close()


class Hungry(Notifier):
    """Counts how often the watchdog is fed."""

    def __init__(self) -> None:
        super().__init__({})
        self.fed = 0

    def progress(self) -> None:
        self.fed += 1


def test_the_watchdog_sees_a_thread_that_died(caplog: pytest.LogCaptureFixture) -> None:
    def work() -> None:
        raise SystemExit  # no guard holds this, and threading says nothing

    notifier = Hungry()
    daemon = Daemon(lambda _: pytest.fail("not asked"), "x", pytest.fail, notifier=notifier)  # type: ignore[arg-type]
    daemon._on_wait("no camera")
    assert notifier.fed == 1
    thread = GuardedThread("tested", work)
    thread.start()
    until(lambda: thread.is_dead)
    assert threads.dead() == ["tested"]
    daemon._on_wait("no camera")
    daemon._on_wait("no camera")
    assert notifier.fed == 1
    assert caplog.text.count("ended unexpectedly: thread tested; the watchdog is not fed any more") == 1
    thread.close()
    daemon._on_wait("no camera")
    assert notifier.fed == 2


def test_a_sound_monitor_is_closed_without_a_trace(tmp_path: Path) -> None:
    monitor = HealthMonitor(HealthSettings(), tmp_path, recorded(tmp_path))
    monitor.start(lambda _: None)
    monitor.close()
    until(lambda: not any(thread.name == "health" for thread in threading.enumerate()))
    assert "health" not in threads.dead()
