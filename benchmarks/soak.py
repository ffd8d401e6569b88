"""Does it stay as it is? Many frames at full speed with web, a viewer, MQTT: memory, files, threads, frame age.

python benchmarks/soak.py dist/hawqc_mbv2 --frames 100000      (needs mosquitto and paho-mqtt; writes results/soak.md)
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from faults import free_port
from fer_edge import config
from fer_edge.board.identify import kib_field, read_text
from fer_edge.daemon.launch import Launcher
from fer_edge.program.own import one_opencv_thread
from written import write

RESULTS = Path(__file__).parent / "results" / "soak.md"
WARM_SHARE = 0.1  # of the frames; caches, arenas and connections are made in it
SAMPLE_S = 1.0


@dataclass(frozen=True)
class Sample:
    """The process at one moment."""

    frames: int
    anonymous_bytes: int  # RssAnon: what this process alone has written to
    n_files: int
    n_threads: int
    age_s: float


class Sampler(threading.Thread):
    """Looks once a second while the daemon runs in the main thread."""

    def __init__(self, launcher: Launcher) -> None:
        super().__init__(name="sampler", daemon=True)
        self.launcher, self.samples, self.ended = launcher, list[Sample](), threading.Event()

    def run(self) -> None:
        """Until ``ended``."""
        while not self.ended.wait(SAMPLE_S):
            daemon = self.launcher.daemon
            status = daemon.status() if daemon is not None else None
            if status is not None and status.frame_age_s is not None:
                self.samples.append(sample(status.frames, status.frame_age_s))


def sample(frames: int, age_s: float) -> Sample:
    """This process now."""
    text = read_text(Path("/proc/self/status"))
    threads = next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Threads:"))
    return Sample(frames, kib_field(text, "RssAnon") or 0, len(os.listdir("/proc/self/fd")), threads, age_s)


def watch(url: str, ended: threading.Event) -> None:
    """A viewer that reads the live picture for as long as the run lasts."""
    while not ended.is_set():
        try:
            with urllib.request.urlopen(url, timeout=5) as stream:
                while not ended.is_set() and stream.read(65536):
                    pass
        except OSError:
            time.sleep(0.2)


def soak(bundle: Path, n_frames: int, folder: Path) -> list[Sample]:
    """One run of so many frames; the samples after the warm-up."""
    mqtt_port, web_port = free_port(), free_port()
    conf = folder / "mosquitto.conf"
    conf.write_text(f"listener {mqtt_port} 127.0.0.1\nallow_anonymous true\n")
    broker = subprocess.Popen(["mosquitto", "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    flags = {
        "source": {"uri": f"synthetic://?width=320&height=240&n={n_frames}"},
        "model": {"bundle": str(bundle), "threads": 1},
        "jsonl": {"path": str(folder / "readings.jsonl") if n_frames < 10_000 else "/dev/null"},
        "mqtt": {"host": "127.0.0.1", "port": mqtt_port},
        "web": {"enabled": True, "port": web_port},
        "metrics": {"enabled": True},
    }
    launcher = Launcher(config.decode(flags), None, flags, when_tracking=one_opencv_thread)
    sampler = Sampler(launcher)
    viewer = threading.Thread(
        target=watch, args=(f"http://127.0.0.1:{web_port}/stream.mjpeg", sampler.ended), name="viewer", daemon=True
    )
    try:
        sampler.start()
        viewer.start()
        print(launcher.run(), flush=True)
    finally:
        sampler.ended.set()
        broker.send_signal(signal.SIGTERM)
        broker.wait()
    sampler.join()
    return [item for item in sampler.samples if item.frames >= WARM_SHARE * n_frames]


def table(samples: list[Sample], n_frames: int, seconds: float) -> str:
    """First and last tenth beside each other, and the extremes."""
    tenth = max(1, len(samples) // 10)
    first, last = samples[:tenth], samples[-tenth:]
    rows = ["| | first tenth after the warm-up | last tenth | extremes |\n|---|---|---|---|"]
    for name, read in (
        ("anonymous memory, MB", lambda s: s.anonymous_bytes / 1e6),
        ("open files", lambda s: s.n_files),
        ("threads", lambda s: s.n_threads),
        ("frame age, ms", lambda s: s.age_s * 1000),
    ):
        of = [read(item) for item in samples]
        ends = (statistics.median(map(read, part)) for part in (first, last))
        rows.append(f"| {name} | {next(ends):.2f} | {next(ends):.2f} | {min(of):.2f} to {max(of):.2f} |")
    return (
        f"{n_frames} frames in {seconds / 60:.1f} minutes, {len(samples)} samples after the first "
        f"{WARM_SHARE:.0%} of the frames; medians.\n\n"
        + "\n".join(rows)
        + f"\n\nGrowth: {growth_bytes(samples) / 1e6:.2f} MB.\n"
    )


def growth_bytes(samples: list[Sample]) -> float:
    """Of the anonymous memory, from the first to the last tenth (medians)."""
    tenth = max(1, len(samples) // 10)
    before, after = (statistics.median(s.anonymous_bytes for s in part) for part in (samples[:tenth], samples[-tenth:]))
    return after - before


def main() -> int:
    """Runs, prints and writes; status 1 where something grew."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--most-mb", type=float, default=2.0, help="growth that fails")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        samples = soak(arguments.bundle.resolve(), arguments.frames, Path(scratch))
    text = table(samples, arguments.frames, time.monotonic() - started)
    print(text)
    write(
        arguments.out,
        "# Soak\n\nWritten by `benchmarks/soak.py`: drawn faces at full speed, MQTT to a real broker, the web page "
        f"with a viewer, metrics; x86-64, two shared cores.\n\n{text}",
    )
    tenth = max(1, len(samples) // 10)
    ages = [statistics.median(s.age_s for s in part) for part in (samples[:tenth], samples[-tenth:])]
    wrong = []
    if growth_bytes(samples) > arguments.most_mb * 1e6:
        wrong.append(f"memory grew by {growth_bytes(samples) / 1e6:.2f} MB, expected at most {arguments.most_mb:g}")
    for name in ("n_files", "n_threads"):
        before, after = (
            statistics.median(getattr(s, name) for s in part) for part in (samples[:tenth], samples[-tenth:])
        )
        if before != after:
            wrong.append(f"{name}: {before:g} became {after:g}")
    if ages[1] > 2 * ages[0] + 0.05:
        wrong.append(f"frame age drifted from {ages[0]:.3f} to {ages[1]:.3f} s")
    for line in wrong:
        print(f"soak: {line}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
