"""Facts about cameras, from /dev, /sys and /proc alone: no camera is opened, so none is disturbed."""

from __future__ import annotations

import grp
import importlib.util
import os
import pwd
import re
from pathlib import Path

from fer_edge.board import read_text
from fer_edge.doctor.facts import CameraFacts, DeviceNode, Holder, UserFacts, VideoNode

_HELD = re.compile(r"/dev/(video|media|v4l-subdev)\d+$")


def camera_facts(root: Path) -> CameraFacts:
    """Nodes below ``root``/dev, and the processes below ``root``/proc that hold one."""
    holders, n_hidden = _holders(root)
    packages = root / "usr/lib/python3/dist-packages"
    return CameraFacts(
        video=tuple(_video_node(root, path) for path in _numbered(root / "dev", "video")),
        media=tuple(_node(root, path) for path in _numbered(root / "dev", "media")),
        dma_heaps=tuple(_node(root, path) for path in sorted((root / "dev/dma_heap").glob("*"))),
        holders=holders,
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


def _numbered(folder: Path, prefix: str) -> list[Path]:
    paths = [path for path in folder.glob(f"{prefix}*") if path.name[len(prefix) :].isdecimal()]
    return sorted(paths, key=lambda path: int(path.name[len(prefix) :]))


def _node(root: Path, path: Path) -> DeviceNode:
    shown = "/" + str(path.relative_to(root))
    return DeviceNode(shown, _group_name(path.stat().st_gid), os.access(path, os.R_OK | os.W_OK))


def _video_node(root: Path, path: Path) -> VideoNode:
    entry = root / "sys/class/video4linux" / path.name
    index = read_text(entry / "index")
    return VideoNode(_node(root, path), read_text(entry / "name"), int(index) if index.isdecimal() else 0)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _holders(root: Path) -> tuple[tuple[Holder, ...], int]:
    """Who has a camera open, and how many processes did not let us look (other users' ones)."""
    holders: set[Holder] = set()
    n_hidden = 0
    for process in (root / "proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            targets = {os.readlink(link) for link in (process / "fd").iterdir()}
        except PermissionError:
            n_hidden += 1
            continue
        except OSError:  # it ended meanwhile
            continue
        name = read_text(process / "comm") or "unknown"
        holders.update(Holder(int(process.name), name, target) for target in targets if _HELD.match(target))
    return tuple(sorted(holders, key=lambda holder: (holder.pid, holder.path))), n_hidden


def _spec(module_name: str) -> str:
    """The file of a top-level module, which is found but not imported; "" where there is none."""
    spec = importlib.util.find_spec(module_name)
    return str(spec.origin or module_name) if spec else ""
