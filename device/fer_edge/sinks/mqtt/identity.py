"""Who a device is among all those of a broker."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path


def machine_id() -> str:
    """A stable id of this machine that does not give away the system's own (man 5 machine-id asks for that)."""
    try:
        own = Path("/etc/machine-id").read_text().strip()
    except OSError:
        own = ""
    return f"fer_edge_{hashlib.sha256(f'fer-edge {own or socket.gethostname()}'.encode()).hexdigest()[:12]}"
