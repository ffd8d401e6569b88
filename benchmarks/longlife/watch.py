"""What is looked at meanwhile: the process, its metrics, every line that it writes, what the broker passes on."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

PUNCH_HOLE, KEEP_SIZE = 2, 1  # of fallocate(2)
_SAMPLE = re.compile(r"^(\w+)(?:\{([^}]*)\})? ([-+.\deE]+|NaN)$", re.MULTILINE)
_libc = ctypes.CDLL(None, use_errno=True)


class Tail(threading.Thread):
    """Reads every line of a file as it grows, checks that it is whole, and gives its room on the disk back.

    The room is given back by punching a hole where it was read: the writer, who appends, sees none of it, and no line
    is lost between a copy and a truncation as with log rotation.
    """

    def __init__(self, path: Path, is_whole: Any) -> None:
        super().__init__(name=f"tail {path.name}", daemon=True)
        self.path, self.lines, self.torn = path, 0, list[str]()
        self._is_whole, self._ended = is_whole, threading.Event()
        self.read_bytes = 0  # up to the end of the last line: what comes after may yet be taken back

    def run(self) -> None:
        """Until ``end``, then to the file's end."""
        while not self.path.exists():
            if self._ended.wait(0.1):
                return
        with self.path.open("rb+", buffering=0) as file:
            while True:
                is_last = self._ended.is_set()
                while self._take(os.pread(file.fileno(), 1 << 18, self.read_bytes)):
                    self._punch(file.fileno())
                if is_last:
                    return
                self._ended.wait(0.25)

    def end(self) -> None:
        """Reads to the end; what is left there is a torn line."""
        self._ended.set()
        self.join()
        if self.path.exists() and (left := self.path.stat().st_size - self.read_bytes):
            self.torn.append(f"{left} bytes at the end")

    def _take(self, content: bytes) -> bool:
        lines, end, _ = content.rpartition(b"\n")
        if not end:
            return False
        for line in lines.split(b"\n"):
            if not self._is_whole(line) and len(self.torn) < 20:
                self.torn.append(f"line {self.lines + 1}: {line[:120]!r}")
            self.lines += 1
        self.read_bytes += len(lines) + 1
        return True

    def _punch(self, fd: int) -> None:
        whole = self.read_bytes // 4096 * 4096
        if whole:
            _libc.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(whole))


def is_reading(line: bytes) -> bool:
    """Whether a line is a whole reading."""
    try:
        return str(json.loads(line)["schema"]).startswith("fer-edge/reading/")
    except (ValueError, KeyError, TypeError):
        return False


class Rows:
    """Whether a line is a whole row of the CSV: as many commas as its head has."""

    def __init__(self) -> None:
        self._commas = 0

    def __call__(self, line: bytes) -> bool:
        """Whether it is; the first line tells how many."""
        self._commas = self._commas or line.count(b",")
        return line.count(b",") == self._commas


class Ear(threading.Thread):
    """A second client of the broker that counts what it hears; connects again by itself."""

    def __init__(self, port: int) -> None:
        super().__init__(name="ear", daemon=True)
        import paho.mqtt.client as paho

        self.heard, self.heard_at_s = 0, 0.0
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("fer-edge/#")
        self._client.on_message = self._hear
        self._client.connect_async("127.0.0.1", port)

    def run(self) -> None:
        """For ever."""
        self._client.loop_forever(retry_first_connection=True)

    def _hear(self, _: Any, __: Any, message: Any) -> None:
        if not message.retain:
            self.heard, self.heard_at_s = self.heard + 1, time.monotonic()


class Page:
    """What the daemon's web server answers a program."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and content; status 0 where there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request(method, path, body, {"X-Fer-Edge": "1"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def metrics(self) -> dict[str, float]:
        """Name, or ``name{labels}``, to value; empty where there is no answer."""
        status, content = self.ask("GET", "/metrics")
        if status != 200:
            return {}
        return {
            f"{name}{{{labels}}}" if labels else name: float(value)
            for name, labels, value in _SAMPLE.findall(content.decode())
        }

    def status(self) -> dict[str, Any]:
        """The daemon's status; empty where there is none."""
        code, content = self.ask("GET", "/api/status")
        return (json.loads(content).get("status") or {}) if code == 200 else {}


def process(pid: int) -> dict[str, int]:
    """Memory, descriptors and threads of a process; empty where it is gone."""
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        for field, name in (("Rss", "rss"), ("Pss", "pss"), ("Anonymous", "anon")):
            match = re.search(rf"^{field}: +(\d+) kB", rollup, re.MULTILINE)
            found[f"{name}_bytes"] = int(match[1]) * 1024 if match else 0
        found["fds"] = len(os.listdir(f"/proc/{pid}/fd"))
        found["threads"] = len(os.listdir(f"/proc/{pid}/task"))
    return found


class Record:
    """Lines of JSON, each on the disk before the next: what a run that is cut short leaves behind."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()

    def add(self, **values: Any) -> None:
        """One line."""
        with self._lock, self._path.open("a") as file:
            file.write(json.dumps(values) + "\n")


def records(path: Path) -> list[dict[str, Any]]:
    """What was written, without a line that was torn by the end."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found
