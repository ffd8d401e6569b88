"""What the daemon lives with, all of it real, and how it goes away: broker, camera, disk, clock, browser."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "device"))

from fer_edge.sources.open import parse_uri
from fer_edge.sources.synthetic import SyntheticSource

SIZE = (320, 240)  # width, height


class Broker:
    """A mosquitto of our own, killed as the kernel kills."""

    def __init__(self, folder: Path, port: int, nice: int) -> None:
        self._nice = nice
        self.port, self._conf, self._log = port, folder / "mosquitto.conf", folder / "mosquitto.log"
        self._conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it."""
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                niced(self._nice, [program, "-c", str(self._conf)]), stdout=log, stderr=log
            )

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def pictures(photo: Path, n: int = 64) -> list[bytes]:
    """JPEGs of a real face that wanders, every eighth with drawn faces instead; none is as the one before."""
    image = cv2.imread(str(photo))
    height, width = image.shape[:2]
    image = cv2.resize(image, (SIZE[0] * 3 // 2, height * SIZE[0] * 3 // 2 // width))
    drawn = SyntheticSource(parse_uri(f"synthetic://?width={SIZE[0]}&height={SIZE[1]}"))
    made = []
    for i in range(n):
        angle = 2 * math.pi * i / n
        x = int((image.shape[1] - SIZE[0]) * (0.5 + 0.25 * math.cos(angle)))
        y = int((image.shape[0] - SIZE[1]) * 0.12 * (1 + math.sin(angle)))
        picture = image[y : y + SIZE[1], x : x + SIZE[0]]
        if i % 8 == 7:
            picture = np.ascontiguousarray(drawn.draw(i)[:, :, ::-1])
        made.append(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes())
    return made


class Camera:
    """The network camera (camera.py) and its power.

    Args:
        port: that it listens on.
        folder: where its pictures are put.
        jpegs: the pictures.
        fps: that it sends.
        nice: its priority: a camera of its own waits for nothing that this machine does.
    """

    def __init__(self, port: int, folder: Path, jpegs: list[bytes], fps: float, nice: int) -> None:
        self.port = port
        self._process: subprocess.Popen[str] | None = None
        folder.mkdir()
        for number, jpeg in enumerate(jpegs):
            (folder / f"{number:03}.jpg").write_bytes(jpeg)
        program = [sys.executable, Path(__file__).with_name("camera.py"), port, folder, fps, *SIZE]
        self._line = niced(nice, [str(word) for word in program])

    def start(self) -> None:
        """Power on; it listens."""
        self._process = subprocess.Popen(self._line, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        with self._process.stdout as said:
            if said.readline() != "listening\n":
                raise OSError("the camera did not start")

    def kill(self) -> None:
        """Power off."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def niced(nice: int, line: list[str]) -> list[str]:
    """The command at a priority of its own, whatever this process has."""
    return ["nice", "-n", str(nice - os.nice(0)), *line]


class Disk:
    """A small tmpfs for what the daemon writes; a file of ours fills it."""

    def __init__(self, folder: Path, size_mb: int = 24) -> None:
        self.folder, self._ballast = folder, folder / "ballast"
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "fer-edge-long-life", str(folder)], check=True
        )

    def fill(self) -> None:
        """Not a byte is left."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(65536))
        self.top_up()

    def top_up(self) -> None:
        """Fills what was freed meanwhile."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def empty(self) -> None:
        """Room again."""
        self._ballast.unlink(missing_ok=True)

    def remove(self) -> None:
        """Gives it back to the system."""
        subprocess.run(["umount", "-l", str(self.folder)], check=False)


class Clock:
    """The wall clock as one process sees it (wall_clock.c, preloaded); this machine's own is left alone.

    A time namespace cannot do it: it moves CLOCK_MONOTONIC and CLOCK_BOOTTIME alone. Debian's libfaketime 0.9.10 lets
    Python's time.sleep fail (EINVAL) with monotonic clocks left alone, and moves those too otherwise.
    """

    def __init__(self, folder: Path) -> None:
        self._library, self._file, self.offset_s = folder / "wall_clock.so", folder / "clock", 0
        source = Path(__file__).with_name("wall_clock.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", self._library, source, "-ldl"], check=True)
        self._file.write_bytes(bytes(8))

    def jump(self, offset_s: int) -> None:
        """From now on the clock is so far from the real one."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("=q", offset_s))
        self.offset_s = offset_s

    def environment(self) -> dict[str, str]:
        """For the process."""
        return {"LD_PRELOAD": str(self._library), "WALL_CLOCK_OFFSET": str(self._file)}


class Browser:
    """A real Chromium that watches the page; started again where it dies."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.starts, self.complaints = url, 0, list[str]()
        self._folder, self._driver, self._stack = folder, None, contextlib.ExitStack()
        self._lock = threading.Lock()

    def look(self, shot: str = "") -> str:
        """What the page shows of the picture: its width in px, or what is the matter."""
        with self._lock:
            try:
                if self._driver is None:
                    self._open()
                driver: Any = self._driver
                shown = driver.execute_script(
                    "const p = document.getElementById('picture'); return p.hidden ? 0 : p.naturalWidth"
                )
                said = [e["message"] for e in driver.get_log("browser") if e["level"] == "SEVERE"]
                self.complaints += [text[:300] for text in said][: max(0, 50 - len(self.complaints))]
                if shot:
                    driver.save_screenshot(str(self._folder / shot))
                return f"{shown} px"
            except Exception as error:  # selenium's, many; the browser is no part of what is tried
                self.close_locked()
                return f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"

    def _open(self) -> None:
        import browser_helpers

        self.starts += 1
        self._driver = self._stack.enter_context(browser_helpers.chromium())
        self._driver.get(self.url)

    def close_locked(self) -> None:
        """Ends it, under the lock."""
        with contextlib.suppress(Exception):
            self._stack.close()
        self._driver, self._stack = None, contextlib.ExitStack()

    def close(self) -> None:
        """Ends it."""
        with self._lock:
            self.close_locked()


@contextlib.contextmanager
def daemon(line: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``fer-edge run``, ended by SIGTERM, and by SIGKILL where that does nothing."""
    with log.open("ab") as file:
        process = subprocess.Popen(line, env=os.environ | environment, stdout=file, stderr=file)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
