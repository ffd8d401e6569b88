"""systemd's notification protocol (sd_notify): datagrams that say ready, how it goes, and still making progress.

The watchdog is fed by ``progress`` alone, which the daemon calls for a frame read to the end and for a deliberate
wait; a hang anywhere then starves it. Without ``NOTIFY_SOCKET`` nothing happens.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping


class Notifier:
    """Speaks to the socket that systemd named (man sd_notify).

    Args:
        environ: has NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID under systemd.
        clock: monotonic, in s.
    """

    watchdog_s: float | None

    def __init__(self, environ: Mapping[str, str] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        environ = os.environ if environ is None else environ
        self._clock = clock
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._socket: socket.socket | None = None
        self.watchdog_s = _watchdog_s(environ, os.getpid()) if self._address else None
        self._fed_at_s: float | None = None
        self._status = ""
        self._is_ready = False

    def ready(self) -> None:
        """Started (or the configuration is read again): says so once until ``reloading``."""
        if not self._is_ready:
            self._is_ready = True
            self._send("READY=1")

    def status(self, text: str) -> None:
        """The line that ``systemctl status`` shows; sent where it changed."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={' '.join(text.split())}")

    def progress(self) -> None:
        """Something was done; feeds the watchdog, at most four times an interval."""
        if self.watchdog_s is None:
            return
        now_s = self._clock()
        if self._fed_at_s is None or now_s - self._fed_at_s >= self.watchdog_s / 4:
            self._fed_at_s = now_s
            self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """The configuration is about to be read again; end it with ``ready``."""
        self._is_ready = False
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """About to end."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Frees the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._address is None:
            return
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                self._socket.setblocking(False)  # a service manager that does not read must not stop the camera
            self._socket.sendto(text.encode(), self._address)
        except OSError:  # nobody listens (any more); the next one may come through
            return


def _address(text: str) -> bytes | str | None:
    """A path, or with a leading @ a name in the abstract name space; None where there is none, or one of vsock."""
    if text.startswith("@"):
        return b"\0" + os.fsencode(text[1:])
    return text if text.startswith("/") else None


def _watchdog_s(environ: Mapping[str, str], pid: int) -> float | None:
    """How often to be fed at the latest; None where no watchdog is asked of this process."""
    usec, owner = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (usec.isascii() and usec.isdigit()) or int(usec) == 0 or (owner and owner != str(pid)):
        return None
    return int(usec) / 1e6
