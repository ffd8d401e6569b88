"""Which V4L2 devices are cameras, and who holds them: read from sysfs, an ioctl and /proc, without opening a stream."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from fer_edge.board import read_text

# linux/videodev2.h: struct v4l2_capability, _IOR('V', 0, 104 bytes)
CAPABILITY = struct.Struct("<16s32s32sIII12x")
VIDIOC_QUERYCAP = 0x80685600
CAP_VIDEO_CAPTURE, CAP_STREAMING, CAP_DEVICE_CAPS = 0x1, 0x0400_0000, 0x8000_0000

# Nodes that give raw sensor data, or decode: a picture only comes out of them through libcamera or Argus.
RAW_DRIVERS = {"unicam": "csi://", "rp1-cfe": "csi://", "tegra-video": "argus://"}
OTHER_DRIVERS = ("bcm2835-isp", "bcm2835-codec", "pispbe", "rpivid", "rpi-hevc-dec")


@dataclass(frozen=True)
class Capability:
    """What a V4L2 device says of itself; ``device_caps`` are those of this node alone."""

    driver: str
    card: str
    bus: str
    device_caps: int

    @property
    def captures(self) -> bool:
        """Whether pictures can be streamed from this node."""
        wanted = CAP_VIDEO_CAPTURE | CAP_STREAMING
        return self.device_caps & wanted == wanted

    def unfit(self) -> str | None:
        """Why this is no camera that V4L2 alone can read; None where it is one."""
        if self.driver in RAW_DRIVERS:
            return f"gives raw sensor data ({self.driver}); use {RAW_DRIVERS[self.driver]}0"
        if self.driver in OTHER_DRIVERS or not self.captures:
            return f"is no capture device ({self.driver})"
        return None


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
    program: str
    device: str

    def __str__(self) -> str:
        return f"{self.program} (pid {self.pid}) holds {self.device}"


def parse_capability(content: bytes) -> Capability:
    """Decodes a ``v4l2_capability`` of 104 bytes."""
    driver, card, bus, _, caps, device_caps = CAPABILITY.unpack(content)
    text = [field.split(b"\0")[0].decode("utf-8", "replace") for field in (driver, card, bus)]
    return Capability(text[0], text[1], text[2], device_caps if caps & CAP_DEVICE_CAPS else caps)


def query(device: Path) -> Capability:
    """Asks a device what it is (VIDIOC_QUERYCAP); does not disturb a program that streams from it.

    Raises:
        OSError: absent, not permitted, unplugged (ENODEV), or no V4L2 device (ENOTTY).
    """
    handle = os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        buffer = bytearray(CAPABILITY.size)
        fcntl.ioctl(handle, VIDIOC_QUERYCAP, buffer)
    finally:
        os.close(handle)
    return parse_capability(bytes(buffer))


def explain(error: OSError, device: Path) -> str:
    """Why a device cannot be asked, and what to do."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{device}: not permitted; sudo usermod -aG video $USER, then log in again"
    if error.errno in (errno.ENODEV, errno.ENXIO, errno.ENOENT):
        return f"{device}: no device behind it (any more); plug the camera in"
    if error.errno in (errno.ENOTTY, errno.EINVAL):
        return f"{device}: not a V4L2 device; expected a camera such as /dev/video0"
    if error.errno == errno.EBUSY:
        return f"{device}: busy; {busy([re.escape(str(device))])}"
    return f"{device}: {os.strerror(error.errno or 0)}"


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
    nodes = sorted((root / "sys/class/video4linux").glob("video*"), key=lambda node: _number(node.name))
    for node in nodes:
        found = usb_id(node, root) if _index(node) == 0 else None
        if found and wanted.matches(found):
            return root / "dev" / node.name
    return None


def find_cameras(
    root: Path = Path("/"), ask: Callable[[Path], Capability] = query
) -> tuple[list[tuple[Path, Capability]], list[str]]:
    """V4L2 cameras in the order of their numbers, and why each other node is none.

    Args:
        root: folder that holds sys/ and dev/.
        ask: how a node is asked.
    """
    found, reasons = [], []
    nodes = sorted((root / "sys/class/video4linux").glob("video*"), key=lambda node: _number(node.name))
    for node in nodes:
        device = root / "dev" / node.name
        if _index(node) != 0:  # a camera's further nodes carry metadata or other streams
            continue
        try:
            capability = ask(device)
        except OSError as error:
            reasons.append(explain(error, device))
            continue
        reason = capability.unfit()
        if reason is None:
            found.append((device, capability))
        else:
            reasons.append(f"{device}: {reason}")
    if not nodes:
        reasons.append("no /dev/video*: no camera is plugged in, or its driver is not loaded")
    return found, reasons


def holders(patterns: Iterable[str], proc: Path = Path("/proc")) -> list[Holder]:
    """Other processes that have a device open, as far as this user may look.

    Args:
        patterns: device paths as regular expressions, e.g. ``/dev/media.*``.
        proc: the proc file system.
    """
    wanted = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
    own, seen = str(os.getpid()), []
    for process in sorted((p for p in proc.iterdir() if p.name.isdecimal()), key=lambda p: int(p.name)):
        if process.name == own:
            continue
        try:
            devices = {os.readlink(handle) for handle in (process / "fd").iterdir()}
            program = (process / "comm").read_text().strip()
        except OSError:  # ended meanwhile, or another user's
            continue
        held = sorted(device for device in devices if wanted.fullmatch(device))
        if held:
            seen.append(Holder(int(process.name), program, held[0]))
    return seen


def busy(patterns: Iterable[str], proc: Path = Path("/proc")) -> str:
    """Says who holds a device, and what to do."""
    found = holders(patterns, proc)
    if found:
        return f"{', '.join(map(str, found))}; stop it first"
    return "another user's program may hold it; sudo fuser -v /dev/video* /dev/media* names it"


def _index(node: Path) -> int:
    try:
        return int((node / "index").read_text())
    except (OSError, ValueError):  # old kernels have none
        return 0


def _number(name: str) -> int:
    digits = re.sub(r"\D", "", name)
    return int(digits) if digits else 0
