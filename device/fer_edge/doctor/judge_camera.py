"""Judges cameras, who may open them and who holds them. Pure: facts in, findings out."""

from __future__ import annotations

import re
from typing import Literal

from fer_edge.board.identify import Board
from fer_edge.doctor.facts import CameraFacts, DeviceNode, PythonFacts, UserFacts, VideoNode
from fer_edge.doctor.finding import Finding, fail, ok, warn
from fer_edge.doctor.remedies import quoted, remedy

Kind = Literal["csi", "usb", ""]
# V4L2 nodes of a Raspberry Pi that are no cameras: codecs, image processors, and a sensor's other outputs.
_NO_CAMERAS = ("bcm2835-codec", "bcm2835-isp", "pispbe", "rpivid", "rpi-hevc-dec", "unicam-embedded", "rp1-cfe-")
# The desktop's camera server has nodes open without using them: https://github.com/W-Floyd/ha-mqtt-iot/issues/44
_WATCHERS = ("pipewire", "wireplumber")
_SYSTEM_PYTHON = "/usr/bin/python3"


def camera_kind(node: VideoNode) -> Kind:
    """What gives pictures: a CSI sensor, a USB (or other V4L2) camera, or "" for neither.

    unicam and rp1-cfe register their nodes only once a sensor answered; so a node means a camera.
    """
    if node.name in ("unicam", "unicam-image") and node.index == 0:
        return "csi"
    if re.match(r"rp1-cfe-csi2[-_]ch0$|vi-output\b", node.name):  # "-" in Linux itself, "_" in Raspberry Pi's kernel
        return "csi"
    if node.name.startswith(_NO_CAMERAS) or node.index != 0:
        return ""
    return "usb"


def judge_camera(camera: CameraFacts, board: Board) -> Finding:
    """Is there anything to read pictures from?"""
    seen = [f"{node.device.path} {node.name} ({kind})" for node in camera.video if (kind := camera_kind(node))]
    if seen:
        return ok("camera", ", ".join(seen))
    found = "none found"
    if camera.video:
        found += f"; {len(camera.video)} video nodes belong to codecs and image processors"
    return warn("camera", found, remedy("csi-cable" if board.family == "raspberry-pi" else "synthetic"))


def judge_groups(camera: CameraFacts, user: UserFacts, board: Board) -> Finding:
    """May this user open the camera's nodes? The remedy names the groups that own those it may not."""
    nodes = [node.device for node in camera.video if camera_kind(node)] + list(camera.media)
    if board.family == "raspberry-pi":
        nodes += camera.dma_heaps  # picamera2 takes its buffers there
    closed = [node for node in nodes if not node.is_accessible]
    groups = ", ".join(user.groups)
    if not closed:
        said = "root" if user.is_root else f"{user.name}, in {groups}"
        return ok(
            "groups", f"{said}: " + (f"may open all {len(nodes)} camera devices" if nodes else "no camera devices")
        )
    found = f"{user.name}, in {groups}: may not open {', '.join(node.path for node in closed)}"
    return fail("groups", found, _how_to_open(closed, user))


def _how_to_open(closed: list[DeviceNode], user: UserFacts) -> str:
    missing = sorted({node.group for node in closed})
    if set(missing) <= set(user.granted) - set(user.groups):
        return remedy("relogin")
    joinable = [group for group in missing if group != "root"]
    if joinable:
        return remedy("usermod", groups=",".join(joinable))
    return remedy("udev-dma-heap")


def judge_picamera2(camera: CameraFacts, python: PythonFacts, board: Board) -> Finding | None:
    """Only a Raspberry Pi's CSI camera needs it."""
    if board.family != "raspberry-pi":
        return None
    if camera.picamera2 and camera.libcamera:
        return ok("picamera2", camera.picamera2)
    level = fail if any(camera_kind(node) == "csi" for node in camera.video) else warn
    if not camera.system_picamera2:
        found = "not installed" if not camera.picamera2 else f"{camera.picamera2}, but no libcamera"
        return level("picamera2", found, remedy("apt-picamera2"))
    found = f"installed in {camera.system_picamera2}, but this Python does not see it"
    if python.in_venv and python.base_prefix == "/usr":
        return level("picamera2", found, remedy("venv-system-packages", prefix=quoted(python.prefix)))
    return level("picamera2", f"{found} (it is not {_SYSTEM_PYTHON})", remedy("system-python-venv"))


def judge_holders(camera: CameraFacts) -> Finding:
    """A camera serves one program at a time."""
    note = f" (not looked into: {camera.n_hidden_processes} processes)" if camera.n_hidden_processes else ""
    users = [holder for holder in camera.holders if holder.name not in _WATCHERS]
    if not users:
        watched = ", which only pipewire watches" if camera.holders else ""
        return ok("camera-users", "no process holds a camera device" + watched + note)
    found = ", ".join(f"{user.name} ({user.pid}) holds {user.path}" for user in users)
    pids = " ".join(dict.fromkeys(str(user.pid) for user in users))
    return warn("camera-users", found + note, remedy("kill-holder", pids=pids))


def judge_nvargus(camera: CameraFacts, board: Board) -> Finding | None:
    """A Jetson's CSI cameras go through this daemon, which hangs after a program was killed."""
    if board.family != "jetson":
        return None
    if camera.nvargus_runs:
        return ok("nvargus-daemon", "runs")
    return warn("nvargus-daemon", "does not run: CSI cameras cannot be opened", remedy("restart-nvargus"))
