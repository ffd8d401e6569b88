"""SIGHUP does what it says: tracking goes on, off and on again, numbers are kept, what needs a restart is repeated."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fer_edge.contract.bundle import Bundle
from fer_edge.contract.reading import ReadingDoc, load_line


class Run:
    """A ``fer-edge run`` whose configuration is rewritten while it runs."""

    def __init__(self, folder: Path, bundle: Bundle, source: str, text: str) -> None:
        self.file, self.out, self.log = folder / "config.toml", folder / "readings.jsonl", folder / "log"
        self._fixed = f'[source]\nuri = "{source}"\n[jsonl]\npath = "{self.out}"\n[log]\ninterval_s = 0.0\n'
        self.write(text)
        line = [sys.executable, "-m", "fer_edge.cli", "run", "--bundle", str(bundle.path), "--threads", "1"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*line, "--config", str(self.file)], stderr=log)

    def write(self, text: str) -> None:
        self.file.write_text(self._fixed + text)

    def readings(self) -> list[ReadingDoc]:
        whole = self.out.read_text().rpartition("\n")[0] if self.out.exists() else ""
        return [load_line(line) for line in whole.splitlines()]

    def more(self, n: int = 6) -> list[ReadingDoc]:
        """The next readings, the first two of which may be of before."""
        start = len(self.readings())
        self.until(lambda: len(self.readings()) >= start + n)
        return self.readings()[start + 2 :]

    def reload(self, text: str) -> str:
        """Reloads; gives the line that was logged."""
        before = self.log.read_text()
        self.write(text)
        self.process.send_signal(signal.SIGHUP)
        self.until(lambda: "reload:" in self.log.read_text()[len(before) :])
        time.sleep(0.05)
        return self.log.read_text()[len(before) :].splitlines()[-1]

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)


@pytest.fixture
def started(bundle: Bundle, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def start(source: str, text: str = "") -> Run:
        runs.append(Run(tmp_path, bundle, source, text))
        return runs[-1]

    yield start
    for run in runs:
        run.process.terminate()
        run.process.wait(20)


def numbers(readings: list[ReadingDoc]) -> set[int | None]:
    return {face.track for reading in readings for face in reading.faces}


def test_tracking_is_switched_on_and_keeps_its_numbers(started: Callable[..., Run]) -> None:
    run = started("synthetic://?width=320&height=240&seed=2", "[track]\nenabled = false\n")
    run.until(lambda: len(run.readings()) > 3)
    assert numbers(run.more()) == {None}

    assert run.reload("").endswith("reload: now in use: track.enabled")
    first = numbers(run.more())
    assert None not in first
    assert first
    last = max(number for number in first if number)

    assert run.reload("[track]\nsmooth_s = 1.0\ndetect_every = 2\n").endswith(
        "reload: now in use: track.detect_every, track.smooth_s"
    )
    assert numbers(run.more(3)) & first, "a face that was there got another number"

    run.reload("[track]\nenabled = false\n")
    assert numbers(run.more()) == {None}
    run.reload("")
    assert min(number or 0 for number in numbers(run.more())) > last, "a number was given again"


def test_what_needs_a_restart_is_said_each_time(started: Callable[..., Run]) -> None:
    run = started("synthetic://?width=320&height=240")
    run.until(lambda: run.readings())
    later = "[web]\nport = 2\n"
    assert run.reload(later).endswith("reload: nothing to take over; needs a restart: web.port")
    assert run.reload(later).endswith("reload: nothing to take over; needs a restart: web.port")
    more = later + "[health]\nhot_c = 60.0\ncool_c = 50.0\n"
    assert run.reload(more).endswith("reload: now in use: health.hot_c, health.cool_c; needs a restart: web.port")
    assert run.reload(more).endswith("reload: nothing to take over; needs a restart: web.port")
    assert run.reload("").endswith("reload: now in use: health.hot_c, health.cool_c")


def test_photos_are_not_said_to_be_followed(
    started: Callable[..., Run], photo_path: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(200):
        os.symlink(photo_path("grace_hopper.jpg"), folder / f"{n}.jpg")
    run = started(f"images://{folder}")
    run.until(lambda: run.readings())
    said = run.reload("[track]\nsmooth_s = 1.0\n")
    assert said.endswith("reload: nothing to take over; of no use for photos: track.smooth_s")
