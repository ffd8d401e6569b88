"""What happens when things go wrong, and how long until readings resume: one run of the whole daemon, one table.

python benchmarks/faults.py dist/hawqc_mbv2   (root for the full disk; needs mosquitto; writes results/faults.md)

The camera is a stand-in behind the cameras' protocol, everything else is real: pipeline, JSON file on a small tmpfs,
mosquitto, the web server, signals, processes. The same camera faults on a real driver: make test-vm STAGE=vivid.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fer_edge import config
from fer_edge.contract.reading import load_line
from fer_edge.daemon.launch import Launcher
from fer_edge.program.own import one_opencv_thread
from standin import World, opener
from written import write

RESULTS = Path(__file__).parent / "results" / "faults.md"
LONGEST_S = 90.0


@dataclass(frozen=True)
class Row:
    """A line of the table; ``resumed_s`` counts from the end of the fault, None where readings never stopped."""

    fault: str
    happened: str
    resumed_s: float | None

    def __str__(self) -> str:
        resumed = "readings never stopped" if self.resumed_s is None else f"{self.resumed_s:.1f}"
        return f"| {self.fault} | {self.happened} | {resumed} |"


class Readings:
    """The JSON lines that were written so far."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def times(self, after_s: float = 0.0) -> list[float]:
        """Capture times (monotonic, s) of whole lines."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        times = []
        for line in lines:
            try:
                times.append(json.loads(line)["t_capture_s"])
            except ValueError:  # the one that is being written
                continue
        return [t for t in times if t > after_s]

    def next(self, after_s: float, longest_s: float = LONGEST_S) -> float:
        """Seconds from ``after_s`` to the first reading of a frame captured later; raises where none comes."""
        until = time.monotonic() + longest_s
        while time.monotonic() < until:
            found = self.times(after_s)
            if found:
                return found[0] - after_s
            time.sleep(0.05)
        raise AssertionError(f"no reading within {longest_s:g} s")

    def longest_gap(self, from_s: float) -> float:
        """Between two readings."""
        times = self.times(from_s)
        return max((b - a for a, b in itertools.pairwise(times)), default=float("inf"))


class Script(threading.Thread):
    """The faults one after another, while the daemon runs in the main thread; ends it with SIGTERM."""

    def __init__(
        self, world: World, readings: Readings, ports: tuple[int, int], folder: Path, launcher: Launcher
    ) -> None:
        super().__init__(daemon=True)
        self.world, self.readings, self.folder, self.launcher = world, readings, folder, launcher
        self.mqtt_port, self.web_port = ports
        self.rows: list[Row] = []
        self.error: BaseException | None = None
        self.broker = self.start_broker()

    def start_broker(self) -> subprocess.Popen[bytes]:
        """A real mosquitto on a port of its own."""
        file = self.folder / "mosquitto.conf"
        file.write_text(f"listener {self.mqtt_port} 127.0.0.1\nallow_anonymous true\n")
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        return subprocess.Popen([program, "-c", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def run(self) -> None:
        """All faults."""
        try:
            self.readings.next(time.monotonic())
            for fault in (self.unplugged, self.busy, self.stalled, self.corrupt, self.resized, self.broker_killed,
                          self.deaf_viewer, self.disk_full):  # fmt: skip
                time.sleep(11)  # so long well, a loss is a new one
                row = fault()
                print(row, flush=True)
                self.rows.append(row)
        except BaseException as error:
            self.error = error
        finally:
            self.asked_to_end_s = time.monotonic()
            os.kill(os.getpid(), signal.SIGTERM)

    def _fault(
        self, name: str, begin: Callable[[], object], end: Callable[[], object], lasts_s: float, said: str
    ) -> Row:
        n_tries = len(self.world.tries)
        begin()
        began_s = time.monotonic()
        time.sleep(lasts_s)
        tries = len(self.world.tries) - n_tries
        assert not self.readings.times(began_s + 1), "readings went on"
        end()
        ended_s = time.monotonic()
        return Row(
            f"{name} ({lasts_s:g} s)", f"{said}; {tries} tries to open it meanwhile", self.readings.next(ended_s)
        )

    def unplugged(self) -> Row:
        """Gone, and back."""
        return self._fault(
            "camera unplugged and back",
            lambda: setattr(self.world, "plugged", False),
            lambda: setattr(self.world, "plugged", True),
            6,
            "said once, tried again with growing delays",
        )

    def busy(self) -> Row:
        """Unplugged, and held by another program when it is back."""

        def begin() -> None:
            self.world.plugged = False
            time.sleep(0.3)
            self.world.holder, self.world.plugged = "cheese (pid 4711)", True

        return self._fault(
            "camera busy", begin, lambda: setattr(self.world, "holder", ""), 6, "the owner is named, once"
        )

    def stalled(self) -> Row:
        """No frame, no error, and a driver that lets go when it is plugged in anew."""
        return self._fault(
            "frames stop without an error",
            lambda: setattr(self.world, "stalled", True),
            lambda: setattr(self.world, "stalled", False),
            16,
            "noticed after 10 s without a frame; waits for the hung driver, then opens it again",
        )

    def corrupt(self) -> Row:
        """Frames that are no pictures."""
        assert self.launcher.daemon is not None
        before = self.launcher.daemon.status().corrupt
        row = self._fault(
            "corrupt frames",
            lambda: setattr(self.world, "broken", True),
            lambda: setattr(self.world, "broken", False),
            5,
            "skipped",
        )
        n = self.launcher.daemon.status().corrupt - before
        assert n > 20, n
        return Row(row.fault, f"{n} counted and skipped", row.resumed_s)

    def resized(self) -> Row:
        """A picture of another size from one frame to the next."""
        began_s = time.monotonic()
        for size in ((640, 480), (160, 120), (320, 240)):
            self.world.size = size
            time.sleep(1.5)
        gap = self.readings.longest_gap(began_s)
        sizes = {load_line(line).width for line in self.readings.path.read_text().splitlines()[-60:]}
        assert {640, 160, 320} <= sizes, sizes
        return Row("resolution changes three times", f"readings in px of each size; longest gap {gap:.1f} s", None)

    def broker_killed(self) -> Row:
        """kill -9, and a new broker after 4 s."""
        began_s = time.monotonic()
        self.broker.kill()
        self.broker.wait()
        time.sleep(4)
        self.broker = self.start_broker()
        started_s = time.monotonic()
        heard = self.hear()
        took = time.monotonic() - started_s
        gap = self.readings.longest_gap(began_s)
        assert gap < 1, gap
        return Row(
            "MQTT broker killed and restarted (4 s)",
            f"the JSON file's longest gap {gap:.1f} s; a subscriber hears {heard} again {took:.1f} s after the restart",
            None,
        )

    def hear(self) -> str:
        """The topic of the first reading that a subscriber gets."""
        until = time.monotonic() + LONGEST_S
        while time.monotonic() < until:
            line = [
                "mosquitto_sub",
                "-p",
                str(self.mqtt_port),
                "-t",
                "fer-edge/+/state",
                "-C",
                "1",
                "-W",
                "5",
                "-F",
                "%t",
                "-R",
            ]
            done = subprocess.run(line, capture_output=True, text=True, check=False)
            if done.returncode == 0 and done.stdout.strip():
                return done.stdout.strip().rpartition("/")[2]
            time.sleep(0.2)
        raise AssertionError("nothing heard from the broker")

    def deaf_viewer(self) -> Row:
        """Three viewers that ask for the live picture and never read."""
        began_s, before = time.monotonic(), threading.active_count()
        viewers = []
        for _ in range(3):
            viewer = socket.socket()
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            viewer.connect(("127.0.0.1", self.web_port))
            viewer.sendall(f"GET /stream.mjpeg HTTP/1.1\r\nHost: 127.0.0.1:{self.web_port}\r\n\r\n".encode())
            viewers.append(viewer)
        time.sleep(12)
        gap = self.readings.longest_gap(began_s)
        for viewer in viewers:
            viewer.close()
        assert gap < 1, gap
        time.sleep(2)
        left = threading.active_count() - before
        return Row("3 web clients that never read (12 s)", f"longest gap {gap:.1f} s; {left} threads left over", None)

    def disk_full(self) -> Row:
        """The file system of the JSON file fills up, and is freed."""
        if not os.path.ismount(self.folder / "small"):
            return Row("disk full for the JSON file", "not run: needs root for a tmpfs", None)
        filler = self.folder / "small" / "filler"
        n_lines = len(self.readings.times())
        began_s = time.monotonic()
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                pass
        time.sleep(5)
        in_time = [t for t in self.readings.times() if t > began_s]
        filler.unlink()
        ended_s = time.monotonic()
        resumed = self.readings.next(ended_s)
        time.sleep(0.5)
        lines = self.readings.path.read_text().splitlines()
        for line in lines[:-1]:
            load_line(line)  # raises where one is torn
        lost = round((ended_s - began_s) * self.world.fps) - len(in_time)
        return Row(
            "disk full for the JSON file (5 s)",
            f"about {lost} readings dropped and counted, said once; all {n_lines} lines from before and every later "
            "one are whole",
            resumed,
        )


def killed(bundle: Path, folder: Path) -> list[Row]:
    """Processes of their own: SIGTERM, SIGKILL and a new start, a wall clock that jumps."""
    rows = []
    target = folder / "killed.jsonl"
    readings = Readings(target)
    line = [
        sys.executable,
        "-m",
        "fer_edge.cli",
        "run",
        "--source",
        "synthetic://?width=320&height=240",
        "--rate",
        "10",
    ]
    line += ["--jsonl", str(target), "--bundle", str(bundle)]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    readings.next(0.0)
    time.sleep(2)
    asked_s = time.monotonic()
    process.terminate()
    said = process.communicate(timeout=30)[1]
    took = time.monotonic() - asked_s
    n = len(target.read_text().splitlines())
    assert process.returncode == 0, said
    assert f"SIGTERM: {n} frames" in said, said
    rows.append(Row("SIGTERM", f"status 0 after {took:.2f} s; {n} frames read, {n} lines written", None))

    process = subprocess.Popen(line, stderr=subprocess.DEVNULL)
    readings.next(time.monotonic())
    time.sleep(2)
    process.kill()
    process.wait()
    killed_s = time.monotonic()
    before = readings.times()
    process = subprocess.Popen(line, stderr=subprocess.DEVNULL)
    resumed = readings.next(killed_s)
    process.terminate()
    process.wait(30)
    for text in target.read_text().splitlines():
        load_line(text)
    rows.append(
        Row("SIGKILL, and started again at once", f"all {len(before)} lines from before are there and whole "
            "(under systemd add RestartSec=5)", resumed)
    )  # fmt: skip
    rows.append(clock_jumps([*line[:-3], str(folder / "clock.jsonl"), *line[-2:]], folder))
    for row in rows:
        print(row, flush=True)
    return rows


JUMPING_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long offset(void) {  /* s, from a file that the script rewrites */
    long s = 0;
    FILE *f = fopen(getenv("CLOCK_OFFSET"), "r");
    if (f) { if (fscanf(f, "%ld", &s) != 1) s = 0; fclose(f); }
    return s;
}
int clock_gettime(clockid_t id, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int r = real(id, t);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) t->tv_sec += offset();
    return r;
}
int gettimeofday(struct timeval *t, void *z) {
    struct timespec n;
    (void)z;
    int r = clock_gettime(CLOCK_REALTIME, &n);
    t->tv_sec = n.tv_sec; t->tv_usec = n.tv_nsec / 1000;
    return r;
}
time_t time(time_t *out) {
    struct timespec n;
    clock_gettime(CLOCK_REALTIME, &n);
    if (out) *out = n.tv_sec;
    return n.tv_sec;
}
"""


def clock_jumps(line: list[str], folder: Path) -> Row:
    """The wall clock leaps by years while it runs; the monotonic clock goes on, as on a real machine.

    By a library of a few lines under the C library's clock: libfaketime breaks Python's sleep.
    """
    name = "clock jumps by -10, then +20 years"
    library, offset = folder / "jumping_clock.so", folder / "offset"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return Row(name, "not run: apt install gcc", None)
    (folder / "jumping_clock.c").write_text(JUMPING_CLOCK)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "jumping_clock.c", "-ldl"], check=True)
    offset.write_text("0")
    environment = {**os.environ, "LD_PRELOAD": str(library), "CLOCK_OFFSET": str(offset)}
    year_s = 31_556_952
    offset.write_text(str(-10 * year_s))
    told = subprocess.run(["date", "+%Y"], env=environment, capture_output=True, text=True, check=True).stdout
    assert int(told) in (time.localtime().tm_year - 10, time.localtime().tm_year - 11), told
    offset.write_text("0")
    readings = Readings(folder / "clock.jsonl")
    process = subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        readings.next(0.0)
        began_s = time.monotonic()
        for years in (-10, 10, 0):
            time.sleep(2)
            offset.write_text(str(years * year_s))
        time.sleep(2)
        gap = readings.longest_gap(began_s)
    finally:
        process.terminate()
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 0, said
    assert gap < 1, gap
    return Row(name, f"longest gap {gap:.1f} s", None)


def free_port() -> int:
    """One that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    """Runs every fault, prints and writes the table; status 1 where something did not go on."""
    if len(sys.argv) != 2:
        print("usage: python benchmarks/faults.py BUNDLE", file=sys.stderr)
        return 2
    bundle = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        small = folder / "small"
        small.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], capture_output=True, check=False
        )
        try:
            rows = whole_run(bundle, folder) + killed(bundle, folder)
        finally:
            if mounted.returncode == 0:
                subprocess.run(["umount", "-l", str(small)], check=False)
    text = (
        "| fault | what happened | seconds until readings resumed |\n|---|---|---|\n" + "\n".join(map(str, rows)) + "\n"
    )
    write(
        RESULTS,
        "# Faults\n\nWritten by `benchmarks/faults.py`: one run on an x86-64 machine with two shared cores. The camera "
        "is a stand-in behind the cameras' protocol (10 frames per second); file, broker, web server, signals and "
        f"processes are real. Seconds count from the end of the fault.\n\n{text}",
    )
    return 0


def whole_run(bundle: Path, folder: Path) -> list[Row]:
    """The daemon in this thread, the faults in another."""
    world, target = World(), folder / "small" / "readings.jsonl"
    ports = (free_port(), free_port())
    flags = {
        "source": {"camera": True},
        "model": {"bundle": str(bundle), "threads": 1},
        "jsonl": {"path": str(target)},
        "mqtt": {"host": "127.0.0.1", "port": ports[0], "interval_s": 0.5},
        "web": {"enabled": True, "port": ports[1]},
    }
    launcher = Launcher(config.decode(flags), None, flags, camera=opener(world), when_tracking=one_opencv_thread)
    script = Script(world, Readings(target), ports, folder, launcher)
    print("| fault | what happened | seconds until readings resumed |\n|---|---|---|", flush=True)
    script.start()
    try:
        summary = launcher.run()
        took = time.monotonic() - script.asked_to_end_s
        script.join()
    finally:
        script.broker.kill()
        script.broker.wait()
    if script.error is not None:
        raise script.error
    gaps = [b - a for a, b in itertools.pairwise(world.tries)]
    print(f"{summary}; ended {took:.1f} s after SIGTERM; shortest time between two tries {min(gaps):.2f} s", flush=True)
    assert min(gaps) >= 0.4, gaps  # never a busy loop
    return script.rows


if __name__ == "__main__":
    sys.exit(main())
