"""The device files of cameras: which there are, what hangs on them, who holds them; from /sys, /dev and /proc alone.

No device is opened. Sources find their camera here, and ``fer-edge doctor`` its facts, below a recorded root too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fer_edge.board.identify import read_text

# Nodes that give raw sensor data, or decode: a picture only comes out of them through libcamera or Argus.
RAW_DRIVERS = {"unicam": "csi://", "rp1-cfe": "csi://", "tegra-video": "argus://"}
OTHER_DRIVERS = ("bcm2835-isp", "bcm2835-codec", "pispbe", "rpivid", "rpi-hevc-dec")


@dataclass(frozen=True)
class Node:
    """A V4L2 node: its device file, the driver's name for it, and its number within one device (0: the pictures)."""

    device: Path
    name: str
    index: int


@dataclass(frozen=True)
class UsbId:
    """Which USB camera it is, wherever it is plugged in: ``usb:046d:0825`` or ``usb:046d:0825:SERIAL``."""

    vendor: str
    product: str
    serial: str = ""

    def __str__(self) -> str:
        return ":".join(filter(None, ("usb", self.vendor, self.product, self.serial)))

    def matches(self, other: UsbId) -> bool:
        """Whether ``other`` is such a camera; without a serial any of that make is."""
        same = (self.vendor, self.product) == (other.vendor, other.product)
        return same and self.serial in ("", other.serial)


@dataclass(frozen=True)
class Holder:
    """A process that has a device open."""

    pid: int
    name: str
    path: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid}) holds {self.path}"


def video_nodes(root: Path = Path("/")) -> list[Node]:
    """The V4L2 nodes that the kernel has, in the order of their numbers; a container may lack their device files."""
    folder = root / "sys/class/video4linux"
    entries = sorted(folder.glob("video*"), key=lambda entry: _number(entry.name))
    return [Node(root / "dev" / entry.name, read_text(entry / "name"), _index(entry)) for entry in entries]


def numbered(folder: Path, prefix: str) -> list[Path]:
    """Device files of one kind, e.g. ``media``, in the order of their numbers."""
    paths = [path for path in folder.glob(f"{prefix}*") if path.name[len(prefix) :].isdecimal()]
    return sorted(paths, key=lambda path: _number(path.name))


def camera_nodes(dev: Path = Path("/dev")) -> frozenset[str]:
    """Names of the device files of cameras: changes when one is plugged in or pulled out."""
    try:
        return frozenset(name for name in os.listdir(dev) if name.startswith(("video", "media")))
    except OSError:
        return frozenset()


def parse_usb(text: str) -> UsbId | None:
    """``usb:vendor:product[:serial]``, vendor and product as 4 hex digits (``lsusb``); None where it is not that."""
    found = re.fullmatch(r"usb:([0-9a-fA-F]{4}):([0-9a-fA-F]{4})(?::(.+))?", text)
    return UsbId(found[1].lower(), found[2].lower(), found[3] or "") if found else None


def usb_id(device: Path, root: Path = Path("/")) -> UsbId | None:
    """The USB identity behind a V4L2 node, from sysfs; None for a camera that is not on USB."""
    folder = (root / "sys/class/video4linux" / device.name / "device").resolve()
    for parent in (folder, *folder.parents[:3]):  # the node hangs on an interface of the USB device
        vendor, product = read_text(parent / "idVendor"), read_text(parent / "idProduct")
        if vendor and product:
            return UsbId(vendor.lower(), product.lower(), read_text(parent / "serial"))
    return None


def find_usb(wanted: UsbId, root: Path = Path("/")) -> Path | None:
    """The node of a USB camera, whatever its number is now; None while it is not plugged in."""
    for node in video_nodes(root):
        found = usb_id(node.device, root) if node.index == 0 else None
        if found and wanted.matches(found):
            return node.device
    return None


def holders(patterns: Iterable[str], proc: Path = Path("/proc")) -> tuple[tuple[Holder, ...], int]:
    """Other processes that have a device open, and how many did not let us look (another user's).

    Args:
        patterns: device paths as regular expressions, e.g. ``/dev/media.*``.
        proc: the proc file system.
    """
    wanted = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
    found: set[Holder] = set()
    n_hidden = 0
    for process in proc.glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            targets = {os.readlink(link) for link in (process / "fd").iterdir()}
        except PermissionError:
            n_hidden += 1
            continue
        except OSError:  # it ended meanwhile
            continue
        held = [target for target in targets if wanted.fullmatch(target)]
        name = read_text(process / "comm") or "unknown" if held else ""
        found.update(Holder(int(process.name), name, target) for target in held)
    return tuple(sorted(found, key=lambda holder: (holder.pid, holder.path))), n_hidden


def busy(patterns: Iterable[str], proc: Path = Path("/proc")) -> str:
    """Says who holds a device, and what to do."""
    found, _ = holders(patterns, proc)
    if found:
        first = {holder.pid: holder for holder in reversed(found)}
        return f"{', '.join(str(first[pid]) for pid in sorted(first))}; stop it first"
    return "another user's program may hold it; sudo fuser -v /dev/video* /dev/media* names it"


def _index(node: Path) -> int:
    text = read_text(node / "index")
    return int(text) if text.isdecimal() else 0  # old kernels have none


def _number(name: str) -> int:
    digits = re.sub(r"\D", "", name)
    return int(digits) if digits else 0
