"""One life: the daemon, its world, what is done to them, and what is written down of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults import free_port
from longlife import watch, world
from longlife.photos import photos_of
from longlife.plan import BOUND_S, JUMPS_S, LOSSES, LOST_S, MINUTELY, Event, due, hurried

SAMPLE_S = 5.0
RELOADS = (
    "[track]\nsmooth_s = 0.2\nlabel_lead = 0.05\n",
    '[zones]\nnever = ["corner=0:0 0.05:0 0.05:0.05"]\n',
)  # in turn


class Life:
    """The daemon, its world and its record.

    Args:
        out: folder of what is recorded.
        bundle: that is run.
        photos: of ``fer-host sample-photo``.
        fps: that the camera sends.
        nice: of the daemon, the camera and the broker; what looks at them stays at this process' own.
    """

    def __init__(self, out: Path, bundle: Path, photos: Path, fps: float, nice: int) -> None:
        self.out, self._bundle, self._n_losses, self._nice = out, bundle, 0, nice
        self.began_s = time.monotonic()
        self._samples, self._events = watch.Record(out / "samples.jsonl"), watch.Record(out / "events.jsonl")
        self._config, self._log = out / "config.toml", out / "daemon.log"
        self._config.write_text(RELOADS[1])
        self._photos = photos_of(photos)
        self._cleanup = contextlib.ExitStack()
        self.clock = world.Clock(out)
        self.broker = world.Broker(out, free_port(), nice)
        self.camera = world.Camera(free_port(), out / "pictures", world.pictures(photos / "astronaut.png"), fps, nice)
        self.page = watch.Page(free_port())
        self.disk = world.Disk(out / "disk")
        self._cleanup.callback(self.disk.remove)
        self.browser = world.Browser(f"http://127.0.0.1:{self.page.port}/", out)
        self.lines = watch.Tail(self.disk.folder / "readings.jsonl", watch.is_reading)
        self.rows = watch.Tail(self.disk.folder / "readings.csv", watch.Rows())
        self.ear = watch.Ear(self.broker.port)
        self._ended = threading.Event()

    def close(self) -> None:
        """Ends and removes everything but what was recorded."""
        self._ended.set()
        self._cleanup.close()

    def live(self, seconds: float, hurry: float, ended: threading.Event) -> dict[str, Any]:
        """The whole life; gives what was counted at its end, when all was at rest.

        Args:
            seconds: that it lasts, from the first frame on.
            hurry: so many times as many losses.
            ended: ends it before.
        """
        self._ended = ended
        for part in (self.broker, self.camera):
            part.start()
            self._cleanup.callback(part.kill)
        line = [sys.executable, "-m", "fer_edge.cli", "run", "--config", self._config, "--bundle", self._bundle]
        line += ["--source", f"rtsp://127.0.0.1:{self.camera.port}/x", "--wait", "--threads", "1", "--metrics"]
        line += ["--jsonl", self.lines.path, "--csv", self.rows.path, "--web", "--web-port", self.page.port]
        line += ["--mqtt-host", "127.0.0.1", "--mqtt-port", self.broker.port, "--log-interval-s", "1"]
        line = world.niced(self._nice, [str(word) for word in line])
        with world.daemon(line, self.clock.environment(), self._log) as process:
            self._process = process
            for thread in (self.lines, self.rows, self.ear):
                thread.start()
            self._until(lambda: self._frames() > 0, 600, "the first frame")
            self.began_s = time.monotonic()
            self._cleanup.callback(self.browser.close)
            scripts = [
                threading.Thread(target=self._script, args=(hurried(events, hurry), seconds), daemon=True)
                for events in (LOSSES, MINUTELY)
            ]
            for script in scripts:
                script.start()
            while self._since() < seconds and not ended.is_set() and process.poll() is None:
                self._sample()
                ended.wait(SAMPLE_S)
            ended.set()
            for script in scripts:
                script.join()
            self._at_rest()
            end = self._counts()
        self.lines.end()
        self.rows.end()
        return end | {
            "lines": self.lines.lines,
            "rows": self.rows.lines,
            "torn": self.lines.torn + self.rows.torn,
            "status": process.returncode,
            "seconds": self._since(),
            "complaints": self.browser.complaints,
            "browsers": self.browser.starts,
        }

    # -- what is written down

    def _sample(self) -> None:
        status = self.page.status()
        self._samples.add(
            t_s=round(self._since(), 2),
            **watch.process(self._process.pid),
            age_s=status.get("frame_age_s"),
            state=status.get("state"),
            load=os.getloadavg()[0],
            **self._counts(),
        )

    def _counts(self) -> dict[str, Any]:
        metrics = self.page.metrics()
        old = "fer_edge_frame_age_seconds"
        return {
            "frames": metrics.get("fer_edge_frames_total", 0),
            "faces": sum(value for name, value in metrics.items() if name.startswith("fer_edge_faces_total")),
            **{
                f"dropped_{k}": metrics.get(f'fer_edge_dropped_total{{place="{k}"}}', 0)
                for k in ("source", "jsonl", "csv")
            },
            "reconnects": metrics.get("fer_edge_source_reconnects_total", 0),
            "aged": metrics.get(f"{old}_count", 0),
            "aged_1s": metrics.get(f'{old}_bucket{{le="1.0"}}', 0),
            "aged_5s": metrics.get(f'{old}_bucket{{le="5.0"}}', 0),
            "cpu_s": metrics.get("process_cpu_seconds_total", 0),
            "lines": self.lines.lines,
            "rows": self.rows.lines,
            "torn": self.lines.torn + self.rows.torn,
            "heard": self.ear.heard,
        }

    def _frames(self) -> float:
        return self.page.metrics().get("fer_edge_frames_total", 0)

    def _since(self) -> float:
        return time.monotonic() - self.began_s

    # -- what is done

    def _script(self, events: tuple[Event, ...], seconds: float) -> None:
        for at_s, name in due(events, 0, seconds):
            if self._ended.wait(max(0.0, at_s - self._since())):
                return
            began_s = self._since()
            try:
                found = getattr(self, f"_{name}")()
            except Exception as error:  # is a finding as well
                found = {"ok": False, "said": f"{type(error).__name__}: {error}"}
            self._events.add(t_s=round(began_s, 2), kind=name, **found)

    def _lost(self, end: Callable[[], None], is_back: Callable[[], bool]) -> dict[str, Any]:
        self._ended.wait(LOST_S)
        end()
        ended_s = time.monotonic()
        is_ok = self._until(is_back, BOUND_S)
        return {"ok": is_ok, "recovered_s": round(time.monotonic() - ended_s, 2) if is_ok else None, "said": ""}

    def _broker(self) -> dict[str, Any]:
        self.broker.kill()
        back_s: list[float] = []

        def end() -> None:
            self.broker.start()
            back_s.append(time.monotonic())

        return self._lost(end, lambda: self.ear.heard_at_s > back_s[0])

    def _camera(self) -> dict[str, Any]:
        self.camera.kill()
        before: list[float] = []

        def end() -> None:
            before.append(self._frames())
            self.camera.start()

        return self._lost(end, lambda: self._frames() > before[0] + 5)

    def _disk(self) -> dict[str, Any]:
        self.disk.fill()
        until = time.monotonic() + LOST_S
        while time.monotonic() < until and not self._ended.wait(0.5):
            self.disk.top_up()
        refused = self._counts()["dropped_jsonl"]
        self.disk.empty()
        before, began_s = self.lines.lines, time.monotonic()
        is_ok = self._until(lambda: self.lines.lines > before + 5, BOUND_S)
        recovered_s = round(time.monotonic() - began_s, 2) if is_ok else None
        return {"ok": is_ok, "recovered_s": recovered_s, "said": f"{refused:.0f} dropped so far"}

    def _clock(self) -> dict[str, Any]:
        offset_s = JUMPS_S[self._n_losses % len(JUMPS_S)]
        self._n_losses += 1
        self.clock.jump(offset_s)
        began_s, before = time.monotonic(), self._frames()

        def is_seen() -> bool:
            metrics = self.page.metrics()
            newest_s = metrics.get("fer_edge_last_capture_timestamp_seconds", 0) - time.time()
            return abs(newest_s - offset_s) < 30 and metrics["fer_edge_frames_total"] > before + 5

        is_ok = self._until(is_seen, BOUND_S)
        recovered_s = round(time.monotonic() - began_s, 2) if is_ok else None
        return {"ok": is_ok, "recovered_s": recovered_s, "said": f"{offset_s:+d} s"}

    def _photo(self) -> dict[str, Any]:
        name, content = self._photos[int(self._since() // 60) % len(self._photos)]
        status, answer = self.page.ask("POST", "/api/photo", content)
        n = len(json.loads(answer)["reading"]["faces"]) if status == 200 else -1
        return {"ok": status == 200, "said": f"{name}: status {status}, {n} faces"}

    def _reload(self) -> dict[str, Any]:
        size = self._log.stat().st_size
        text = RELOADS[0] if self._config.read_text() == RELOADS[1] else RELOADS[1]
        self._config.write_text(text)
        os.kill(self._process.pid, signal.SIGHUP)

        def said() -> str:
            new = self._log.read_bytes()[size:].decode(errors="replace")
            return next((line for line in new.splitlines() if "reload: " in line), "")

        is_ok = self._until(lambda: "now in use" in said(), BOUND_S)
        return {"ok": is_ok, "said": said()}

    def _page(self) -> dict[str, Any]:
        seen: list[str] = []

        def is_seen() -> bool:
            seen.append(self.browser.look("page.png"))
            return seen[-1].endswith(" px") and seen[-1] != "0 px"

        return {"ok": self._until(is_seen, BOUND_S), "said": seen[-1]}

    def _at_rest(self) -> None:
        """No camera any more, and what was read is written."""
        self.camera.kill()
        self.disk.empty()
        seen: list[tuple[float, int, int]] = []

        def is_at_rest() -> bool:
            time.sleep(2)
            seen.append((self._frames(), self.lines.lines, self.rows.lines))
            return len(seen) > 2 and seen[-1] == seen[-2] == seen[-3]

        self._until(is_at_rest, 60)

    def _until(self, what: Callable[[], bool], longest_s: float, said: str = "") -> bool:
        until = time.monotonic() + longest_s
        while time.monotonic() < until and self._process.poll() is None:
            if what():
                return True
            time.sleep(0.25)
        if said:
            raise SystemExit(f"long_life: not within {longest_s:g} s: {said}; see {self._log}")
        return False
