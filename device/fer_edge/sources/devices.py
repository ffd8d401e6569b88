"""Which V4L2 devices are cameras: each is asked (an ioctl) what it is, without opening a stream."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fer_edge.board.camera_nodes import OTHER_DRIVERS, RAW_DRIVERS, busy, video_nodes

# linux/videodev2.h: struct v4l2_capability, _IOR('V', 0, 104 bytes)
CAPABILITY = struct.Struct("<16s32s32sIII12x")
VIDIOC_QUERYCAP = 0x80685600
CAP_VIDEO_CAPTURE, CAP_STREAMING, CAP_DEVICE_CAPS = 0x1, 0x0400_0000, 0x8000_0000


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
    if error.errno == errno.EACCES:
        return f"{device}: not permitted; sudo usermod -aG video $USER, then log in again"
    if error.errno == errno.EPERM:  # not the file's owner and group say so, but a device control group
        return (
            f"{device}: forbidden by the device rules of this service or container; restart it, or give it the device"
        )
    if error.errno in (errno.ENODEV, errno.ENXIO, errno.ENOENT):
        return f"{device}: no device behind it (any more); plug the camera in"
    if error.errno in (errno.ENOTTY, errno.EINVAL):
        return f"{device}: not a V4L2 device; expected a camera such as /dev/video0"
    if error.errno == errno.EBUSY:
        return f"{device}: busy; {busy([re.escape(str(device))])}"
    return f"{device}: {os.strerror(error.errno or 0)}"


def find_cameras(
    root: Path = Path("/"), ask: Callable[[Path], Capability] = query
) -> tuple[list[tuple[Path, Capability]], list[str]]:
    """V4L2 cameras in the order of their numbers, and why each other node is none.

    Args:
        root: folder that holds sys/ and dev/.
        ask: how a node is asked.
    """
    found, reasons = [], []
    nodes = video_nodes(root)
    for node in nodes:
        device = node.device
        if node.index != 0:  # a camera's further nodes carry metadata or other streams
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
