"""Facts about cameras, from /dev, /sys and /proc alone: no camera is opened, so none is disturbed."""

from __future__ import annotations

import grp
import importlib.util
import os
import pwd
from pathlib import Path

from fer_edge.board.camera_nodes import holders, numbered, video_nodes
from fer_edge.board.identify import read_text
from fer_edge.doctor.facts import CameraFacts, DeviceNode, UserFacts, VideoNode

_HELD = (r"/dev/(video|media|v4l-subdev)\d+",)


def camera_facts(root: Path) -> CameraFacts:
    """Nodes below ``root``/dev, and the processes below ``root``/proc that hold one."""
    held_by, n_hidden = holders(_HELD, root / "proc")
    packages = root / "usr/lib/python3/dist-packages"
    return CameraFacts(
        video=tuple(
            VideoNode(_node(root, node.device), node.name, node.index)
            for node in video_nodes(root)
            if node.device.exists()  # a container may not have it
        ),
        media=tuple(_node(root, path) for path in numbered(root / "dev", "media")),
        dma_heaps=tuple(_node(root, path) for path in sorted((root / "dev/dma_heap").glob("*"))),
        holders=held_by,
        n_hidden_processes=n_hidden,
        picamera2=_spec("picamera2"),
        libcamera=_spec("libcamera"),
        system_picamera2=str(packages / "picamera2") if (packages / "picamera2").is_dir() else "",
        nvargus_runs=any(read_text(path) == "nvargus-daemon" for path in (root / "proc").glob("[0-9]*/comm")),
    )


def user_facts(root: Path) -> UserFacts:
    """This login's groups, by name, and those that /etc/group below ``root`` grants the user."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's or a DynamicUser's number without a name
        name = str(uid)
    granted = []
    for line in read_text(root / "etc/group").splitlines():
        group, _, rest = line.partition(":")
        if name in rest.rpartition(":")[2].split(","):
            granted.append(group)
    groups = tuple(_group_name(gid) for gid in sorted({os.getgid(), *os.getgroups()}))
    return UserFacts(name, uid == 0, groups, tuple(granted))


def _node(root: Path, path: Path) -> DeviceNode:
    shown = "/" + str(path.relative_to(root))
    return DeviceNode(shown, _group_name(path.stat().st_gid), os.access(path, os.R_OK | os.W_OK))


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _spec(module_name: str) -> str:
    """The file of a top-level module, which is found but not imported; "" where there is none."""
    spec = importlib.util.find_spec(module_name)
    return str(spec.origin or module_name) if spec else ""
