"""Who an instance is among all clients of a broker: by its machine, and by its configuration or source."""

from __future__ import annotations

import hashlib
import re
import secrets
import socket
from pathlib import Path

from fer_edge.board.identify import read_text
from fer_edge.sources.open import SCHEMES


def instance_key(source: str, file: Path | None) -> str:
    """What tells an instance from others on this machine; "" for the one of the usual configuration file.

    Args:
        source: given by a flag, as messages show it (without its password); "" where a file says it.
        file: the configuration that was named; None where the usual one, or none, is read.
    """
    if source:
        row = SCHEMES.get(source.partition("://")[0])
        is_name = row is None or row.odd_names or row.whole_url
        return source if is_name else source.partition("?")[0]  # whatever its size and rate
    return str(file.resolve()) if file is not None else ""


def short_name(key: str) -> str:
    """An instance's key for people: a file's or device's name, or a camera's address."""
    scheme, _, rest = key.rpartition("://")
    row = SCHEMES.get(scheme)
    if row is not None and row.whole_url:
        return rest.partition("/")[0]
    if scheme == "camera" or (row is not None and not row.names):
        return f"{scheme}{rest}"
    return Path(rest).stem or rest


def device_id(key: str, root: Path = Path("/")) -> str:
    """A stable id that differs by machine and instance, and gives neither away (man 5 machine-id asks for that).

    A copied SD card has the machine id of its original, so the board's own number belongs to it. At most 23 letters,
    digits and _, which every broker takes.

    Args:
        key: see ``instance_key``.
        root: another folder in tests.
    """
    whose = read_text(root / "etc/machine-id") or socket.gethostname()
    text = "\n".join(("fer-edge", whose, board_number(root), key))
    return f"fer_edge_{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"


def board_number(root: Path = Path("/")) -> str:
    """The board's serial number (Raspberry Pi, Jetson), else the address of a network card that is built in; or ""."""
    serial = read_text(root / "proc/device-tree/serial-number")
    if serial.strip("0"):
        return serial
    for card in sorted((root / "sys/class/net").glob("*/device")):
        bus = (card / "subsystem").resolve().name
        if bus != "usb" and read_text(card.parent / "addr_assign_type") == "0":  # the card's own, not a made-up one
            return read_text(card.parent / "address")
    return ""


def new_mark() -> str:
    """A name for this run, by which another client with the same id is noticed; says where to look for it."""
    host = re.sub(r"[^A-Za-z0-9_.-]", "_", socket.gethostname())[:64]
    return f"{host}-{secrets.token_hex(4)}"


def host_of_mark(mark: bytes) -> str:
    """Where the other client runs, by its mark; "" for what is no mark."""
    found = re.fullmatch(rb"([A-Za-z0-9_.-]{1,64})-[0-9a-f]{8}", mark)
    return found[1].decode() if found else ""
