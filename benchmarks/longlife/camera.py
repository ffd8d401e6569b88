"""The network camera of a long life, a process of its own: PORT FOLDER FPS, the folder's JPEGs again and again.

On its own, as a camera is another machine: it sends on time whatever the daemon and its world compute here.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "device"))
import rtsp_server


class Stream(rtsp_server.RtspServer):
    """A network camera that sends the pictures at its rate, or as fast as they are taken."""

    def __init__(self, port: int, jpegs: list[bytes], size: tuple[int, int], fps: float) -> None:
        self._jpegs, self._fps = jpegs, fps
        super().__init__(port, size)

    def _play(self, client: Any) -> None:
        sequence, due_s = 0, time.monotonic()
        for number in range(10**9):
            packets = rtsp_server.rtp_packets(
                self._jpegs[number % len(self._jpegs)], self.size, sequence, number * 4500
            )
            sequence += len(packets)
            if not rtsp_server._sent(client, packets):
                return
            due_s = max(due_s + 1 / self._fps, time.monotonic() - 1)
            time.sleep(max(0.0, due_s - time.monotonic()))


def main() -> None:
    """Until it is killed."""
    port, folder, fps, width, height = sys.argv[1:]
    jpegs = [path.read_bytes() for path in sorted(Path(folder).glob("*.jpg"))]
    Stream(int(port), jpegs, (int(width), int(height)), float(fps))
    print("listening", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
