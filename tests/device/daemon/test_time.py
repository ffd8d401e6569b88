"""When a reading was: in the clip, by the wall clock, by a clock that never jumps. Appended logs can be ordered."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.contract.bundle import Bundle
from fer_edge.contract.reading import ReadingDoc, load_line
from fer_edge.daemon.loop import Daemon
from fer_edge.sources import open_source
from fer_edge.types import Frame, FrameReading

Edge = Callable[..., "subprocess.CompletedProcess[str]"]
SOURCE = "synthetic://?n=6&fps=8&width=128&height=96"


def lines_of(edge: Edge, bundle: Bundle, *more: object) -> list[ReadingDoc]:
    done = edge("run", "--source", SOURCE, "--jsonl", "-", "--bundle", bundle.path, *more)
    assert done.returncode == 0, done.stderr
    return [load_line(line) for line in done.stdout.splitlines()]


def unix(reading: ReadingDoc) -> float:
    assert reading.time is not None
    at = datetime.fromisoformat(reading.time)
    assert at.tzinfo is not None
    return at.timestamp()


def test_a_reading_says_when_it_was(edge: Edge, bundle: Bundle) -> None:
    before = time.time()
    readings = lines_of(edge, bundle)
    after = time.time()
    assert [reading.t_media_s for reading in readings] == [i / 8 for i in range(6)]
    for reading in readings:
        assert reading.t_capture_s is not None
        assert reading.published_s is not None
        assert before - 0.01 <= unix(reading) <= after + 0.01
        assert reading.t_capture_s <= reading.published_s <= reading.t_capture_s + 60
        # one offset between the two clocks, however long a frame took to read
        assert abs((unix(reading) - unix(readings[0])) - (reading.t_capture_s - (readings[0].t_capture_s or 0))) < 0.01


def test_a_log_that_was_appended_to_can_be_ordered(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    for _ in range(2):
        done = edge("run", "--source", SOURCE, "--jsonl", log, "--bundle", bundle.path)
        assert done.returncode == 0, done.stderr
    times = [load_line(line).time for line in log.read_text().splitlines()]
    assert len(times) == 12
    assert times == sorted(times, key=str)
    assert len(set(times)) > 2


class Hot:
    """A board that slows itself."""

    rate_factor = 0.25

    class health:  # noqa: N801
        temperature_c, throttled, tells_throttling = 85.0, "hot", True


class Empty:
    """Stands for the pipeline: no faces."""

    def read_frame(self, frame: Frame) -> FrameReading:
        return FrameReading(frame, ())


class Kept:
    """A sink that keeps everything."""

    name, dropped = "kept", 0

    def __init__(self) -> None:
        self.readings: list[FrameReading] = []

    def publish(self, reading: FrameReading) -> None:
        self.readings.append(reading)

    def close(self) -> None:
        pass


def published(source: str, **options: Any) -> list[FrameReading]:
    kept, anything = Kept(), Empty()
    daemon = Daemon(
        lambda _: open_source(source, **options),
        "x",
        anything,  # type: ignore[arg-type]
        strict_sink=kept,
        health=Hot(),  # type: ignore[arg-type]
    )
    daemon.run()
    return kept.readings


def test_heat_does_not_enter_the_readings_of_a_file() -> None:
    assert [reading.rate_factor for reading in published(SOURCE)] == [1.0] * 6
    assert {reading.rate_factor for reading in published(SOURCE, realtime=True)} == {0.25}


def test_age_is_from_capture_to_published_and_told_once() -> None:
    frame = Frame(np.zeros((9, 9, 3), np.uint8), 0, time.monotonic() - 2, "x")
    reading = FrameReading(frame, ())
    assert reading.age_s is None
    assert reading.to_doc().time is None
    out = reading.published()
    assert out.age_s is not None
    assert out.age_s == out.published_s - frame.t_capture_s  # type: ignore[operator]
    assert 2 <= out.age_s <= time.monotonic() - frame.t_capture_s
    time.sleep(0.05)
    assert out.to_doc() == out.to_doc()
    assert abs(unix(out.to_doc()) - (time.time() - 2.05)) < 1
