"""What makes the daemon grow? One kind of event at a time, many times over, each with a daemon of its own.

.venv-device/bin/python benchmarks/growth.py
    (as root, for small tmpfs; needs mosquitto and gcc; writes results/growth.md)

The world is that of long_life.py, with a client that watches the live picture instead of a browser. The first third
warms up: caches fill, the heap takes its size. Memory at its end is compared with memory at the end of all.
"""

from __future__ import annotations

import argparse
import http.client
import os
import platform
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from faults import free_port
from longlife import watch, world
from longlife.life import RELOADS
from longlife.photos import photos_of
from longlife.plan import BOUND_S, JUMPS_S
from written import write

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "growth.md"
FPS = 8.0  # few: events are counted here, not frames
SETTLED_S = 1.5  # the heap is given back after a photo's answer


class Grown:
    """A daemon, its world and one kind of event after another.

    Args:
        out: an empty folder.
        bundle: that is run.
        photos: of ``fer-host sample-photo``.
        code: folder of the package that is run; None for the installed one.
    """

    def __init__(self, out: Path, bundle: Path, photos: Path, code: Path | None) -> None:
        self._config, self._log, self._n = out / "config.toml", out / "daemon.log", 0
        self._config.write_text(RELOADS[1])
        self._photos, self._clock = photos_of(photos), world.Clock(out)
        self._broker = world.Broker(out, free_port(), 0)
        pictures = world.pictures(photos / "astronaut.png")
        self._camera = world.Camera(free_port(), out / "pictures", pictures, FPS, 0)
        self._environment = self._clock.environment() | ({"PYTHONPATH": str(code)} if code else {})
        self._page, self._disk = watch.Page(free_port()), world.Disk(out / "disk")
        line = [sys.executable, "-m", "fer_edge.cli", "run", "--config", self._config, "--bundle", bundle]
        line += ["--source", f"rtsp://127.0.0.1:{self._camera.port}/x", "--wait", "--threads", "1", "--metrics"]
        line += ["--jsonl", self._disk.folder / "r.jsonl", "--csv", self._disk.folder / "r.csv", "--web"]
        line += ["--web-port", self._page.port, "--mqtt-host", "127.0.0.1", "--mqtt-port", self._broker.port]
        self._line = [str(word) for word in (*line, "--log-interval-s", "0")]

    def lived(self, kind: str, n: int, seconds: float) -> tuple[int, list[tuple[float, float]]]:
        """How many events there were; resident and anonymous MB at first, after a third of them and at the end."""
        self._broker.start()
        self._camera.start()
        try:
            with world.daemon(self._line, self._environment, self._log) as self._process:
                self._until(lambda: self._frames() > 5, 300)
                threading.Thread(target=self._watched, daemon=True).start()
                memory, until = [self._memory()], time.monotonic() + seconds
                act: Callable[[], Any] = getattr(self, f"_{kind}")
                while self._n < n and time.monotonic() < until:
                    act()
                    self._n += 1
                    memory.append(self._memory())
                return self._n, [memory[0], memory[self._n // 3], memory[-1]]
        finally:
            self._camera.kill()
            self._broker.kill()
            self._disk.remove()

    def _memory(self) -> tuple[float, float]:
        for name in ("r.jsonl", "r.csv"):
            if (self._disk.folder / name).exists():
                os.truncate(self._disk.folder / name, 0)
        time.sleep(SETTLED_S)
        now = watch.process(self._process.pid)
        return now["rss_bytes"] / 1e6, now["anon_bytes"] / 1e6

    def _watched(self) -> None:
        while self._process.poll() is None:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self._page.port, timeout=20)
                connection.request("GET", "/stream.mjpg")
                answer = connection.getresponse()
                while answer.read(4096):
                    pass
            except (OSError, http.client.HTTPException):
                time.sleep(0.5)

    def _frames(self) -> float:
        return self._page.metrics().get("fer_edge_frames_total", 0)

    def _until(self, what: Callable[[], bool], longest_s: float = BOUND_S) -> None:
        until = time.monotonic() + longest_s
        while not what():
            if time.monotonic() > until:
                raise SystemExit(f"growth: not within {longest_s:g} s; see {self._log}")
            time.sleep(0.05)

    # -- events

    def _frame(self) -> None:
        before = self._frames()
        self._until(lambda: self._frames() > before + 5)

    def _reload(self) -> None:
        size = self._log.stat().st_size
        self._config.write_text(RELOADS[RELOADS.index(self._config.read_text()) - 1])
        os.kill(self._process.pid, signal.SIGHUP)
        self._until(lambda: b"now in use" in self._log.read_bytes()[size:])

    def _photo(self) -> None:
        if self._page.ask("POST", "/api/photo", self._photos[self._n % len(self._photos)][1])[0] != 200:
            raise SystemExit("growth: a photo was not read")

    def _broker_lost(self) -> None:
        self._broker.kill()
        time.sleep(1)
        self._broker.start()
        time.sleep(1)

    def _camera_lost(self) -> None:
        self._camera.kill()
        before = self._frames()
        self._camera.start()
        self._until(lambda: self._frames() > before + 2)

    def _disk_full(self) -> None:
        self._disk.fill()
        time.sleep(0.5)
        self._disk.top_up()
        self._disk.empty()

    def _clock_jump(self) -> None:
        self._clock.jump(JUMPS_S[self._n % len(JUMPS_S)])

    def _mixed(self) -> None:
        self._photo()
        self._reload()
        if self._n % 5 == 4:
            (self._broker_lost, self._disk_full, self._clock_jump)[self._n // 5 % 3]()


KINDS = {
    "frame": "five frames and no more",
    "reload": "`SIGHUP`, another configuration",
    "photo": "a photo of 0.3 to 12 megapixels",
    "broker_lost": "the broker killed and back",
    "camera_lost": "the camera killed and back",
    "disk_full": "the disk full and empty again",
    "clock_jump": "the wall clock jumps",
    "mixed": "a photo, a reload and every fifth time a loss",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=ROOT / "dist" / "hawqc_mbv2")
    parser.add_argument("--photos", type=Path, default=ROOT / "build" / "photos", help="of fer-host sample-photo DIR")
    parser.add_argument("--n", type=int, default=150, help="events of each kind")
    parser.add_argument("--seconds", type=float, default=600, help="that each kind may take")
    parser.add_argument(
        "--before", type=Path, metavar="DIR", help="device/ of an older commit, for reloads and the mix"
    )
    arguments = parser.parse_args()
    older = {f"{kind} before": f"{KINDS[kind]}; before" for kind in ("reload", "mixed") if arguments.before}
    kinds = KINDS | older
    found: dict[str, tuple[int, list[tuple[float, float]]]] = {}

    def live(kind: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            code = arguments.before.resolve() if kind in older else None
            grown = Grown(Path(folder), arguments.bundle.resolve(), arguments.photos, code)
            found[kind] = grown.lived(kind.partition(" ")[0], arguments.n, arguments.seconds)
        print(kind, found[kind], flush=True)

    threads = [threading.Thread(target=live, args=(kind,)) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = "# Growth by kind of event\n\nWritten by `benchmarks/growth.py`: `fer-edge run` with page, MQTT, metrics, "
    text += f"JSON lines and CSV, one daemon a kind, all at once; the first third is the warm-up; {platform.machine()},"
    text += f" {os.cpu_count()} cores, glibc {platform.libc_ver()[1]}. Anonymous memory, MB.\n\n"
    text += "| what | times | at first, MB | after the warm-up, MB | at the end, MB |\n|---|---|---|---|---|\n"
    for kind, about in kinds.items():
        if kind in found:
            n, memory = found[kind]
            text += f"| {about} | {n} | " + " | ".join(f"{anonymous:.1f}" for _, anonymous in memory) + " |\n"
    write(RESULTS, text)
    print(text)
    return int(len(found) < len(kinds))


if __name__ == "__main__":
    sys.exit(main())
