"""What machine this is, read from /proc and /sys; the root is an argument so that recorded trees can be tested.

Nothing here fails: a file that is absent or cannot be read gives "", None or an empty list.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fer_edge.contract.bounds import SYSTEM_FILE_BYTES as _MAX_BYTES

Family = Literal["raspberry-pi", "jetson", "pc", "unknown"]

# One of the device tree's `compatible` strings names the SoC.
_PI_SOCS = ("bcm2835", "bcm2836", "bcm2837", "bcm2711", "bcm2712")
_JETSON_SOCS = ("tegra210", "tegra186", "tegra194", "tegra234", "tegra264")
# CPU part numbers of implementer 0x41 (Arm): Linux arch/arm64/include/asm/cputype.h
_ARM_PARTS = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd0b": "Cortex-A76",
    "0xd42": "Cortex-A78AE",
}
_JETPACK_OF_L4T = {32: "4", 34: "5", 35: "5", 36: "6", 38: "7", 39: "7"}


@dataclass(frozen=True)
class Board:
    """A machine: the model for people, the SoC for decisions ("" where no device tree names one)."""

    model: str
    soc: str
    family: Family

    @property
    def is_known(self) -> bool:
        """True for the boards whose sensors and cameras are known here; others work, with less said about them."""
        return self.family in ("raspberry-pi", "jetson")


@dataclass(frozen=True)
class L4t:
    """NVIDIA's Linux for Tegra: its release (36), revision ("4.3") and JetPack's major version ("" if unknown)."""

    release: int
    revision: str
    jetpack: str

    def __str__(self) -> str:
        return f"L4T R{self.release}.{self.revision}" + (f" (JetPack {self.jetpack})" if self.jetpack else "")


@dataclass(frozen=True)
class Cpu:
    """The CPU's name, how many cores the kernel shows, and whether it multiplies int8 by dot products."""

    name: str
    n_cores: int
    has_dot_products: bool


def identify(root: Path = Path("/")) -> Board:
    """The board: the device tree's ``compatible`` says the SoC, its ``model`` the name; a PC has DMI instead."""
    model = read_text(root / "proc" / "device-tree" / "model")
    compatible = read_text(root / "proc" / "device-tree" / "compatible").split("\0")
    socs = [name.rpartition(",")[2] for name in compatible]
    for soc in socs:
        if soc in _PI_SOCS:
            return Board(model or f"unknown board with {soc}", soc, "raspberry-pi")
        if soc in _JETSON_SOCS:
            return Board(model or f"unknown board with {soc}", soc, "jetson")
    if model:
        return Board(model, socs[-1], "unknown")
    dmi = root / "sys" / "class" / "dmi" / "id"
    product = " ".join(filter(None, (read_text(dmi / "sys_vendor"), read_text(dmi / "product_name"))))
    machine = machine_name(root)
    if product or machine in ("x86_64", "i686"):
        return Board(product or f"{machine} PC", "", "pc")
    return Board(f"unknown {machine} machine", "", "unknown")


def has_nvidia_gpu(root: Path = Path("/")) -> bool:
    """Whether this machine has a GPU of NVIDIA's with its driver: every Jetson, and a PC whose driver runs."""
    return is_jetson(root) or (root / "proc/driver/nvidia/version").is_file()


def is_jetson(root: Path = Path("/")) -> bool:
    """Whether this is an NVIDIA Tegra, from its device tree below ``root``."""
    return "nvidia,tegra" in read_text(root / "proc/device-tree/compatible")


def machine_name(root: Path = Path("/")) -> str:
    """The kernel's architecture, e.g. "aarch64"; of a recorded tree only what it recorded."""
    recorded = read_text(root / "proc/sys/kernel/arch")  # since Linux 6.1
    return recorded or (platform.machine() if root == Path("/") else "unrecorded")


def kernel_release(root: Path = Path("/")) -> str:
    """The running kernel's release, e.g. "6.6.51+rpt-rpi-2712"."""
    return read_text(root / "proc/sys/kernel/osrelease") or "unknown"


def l4t(root: Path = Path("/")) -> L4t | None:
    """The L4T release from /etc/nv_tegra_release, else from dpkg's nvidia-l4t-core; None on other machines."""
    line = read_text(root / "etc/nv_tegra_release")
    found = re.search(r"R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)", line)
    if not found:  # "36.4.3-20250107174145": release, then revision
        status = read_text(root / "var/lib/dpkg/status")
        found = re.search(r"^Package: nvidia-l4t-core\n(?:.+\n)*?Version: (\d+)\.([\d.]+)", status, re.MULTILINE)
    if not found:
        return None
    release = int(found[1])
    return L4t(release, found[2], _JETPACK_OF_L4T.get(release, ""))


def cpu(root: Path = Path("/")) -> Cpu:
    """What /proc/cpuinfo says; ``asimddp`` is Arm's name for int8 dot products, ``*_vnni`` x86's."""
    text = read_text(root / "proc/cpuinfo")
    features = set(_first(text, "Features", "flags").split())
    n_cores = len(re.findall(r"^processor\s*:", text, re.MULTILINE))
    return Cpu(cpu_name(root), n_cores, bool(features & {"asimddp", "avx512_vnni", "avx_vnni"}))


def board_name(root: Path = Path("/")) -> str:
    """The board's name, for people."""
    return identify(root).model


def cpu_name(root: Path = Path("/")) -> str:
    """The core's name where its part number tells, else what /proc/cpuinfo calls the CPU."""
    text = read_text(root / "proc/cpuinfo")
    part = _ARM_PARTS.get(_first(text, "CPU part")) if _first(text, "CPU implementer") == "0x41" else None
    return part or _first(text, "model name", "Model", "Hardware") or machine_name(root)


def governor(root: Path = Path("/")) -> str:
    """The frequency governor of the first CPU; "unknown" where the kernel shows none."""
    return read_text(root / "sys/devices/system/cpu/cpufreq/policy0/scaling_governor") or "unknown"


def peak_rss_bytes(root: Path = Path("/")) -> int:
    """Peak resident set of this process (VmHWM); 0 where the kernel shows none."""
    return kib_field(read_text(root / "proc/self/status"), "VmHWM") or 0


def pss_bytes(root: Path = Path("/")) -> int | None:
    """Proportional set size of this process; None where the kernel shows none."""
    return kib_field(read_text(root / "proc/self/smaps_rollup"), "Pss")


def kib_field(text: str, key: str) -> int | None:
    """The value in bytes of a line "key:  123 kB", as /proc writes them; None without such a line."""
    found = re.search(rf"^{re.escape(key)}:\s*(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def read_text(path: Path) -> str:
    """A small file of /proc, /sys or /etc without trailing NUL and newline; "" where it cannot be read.

    Read without blocking and not through ``open()``: a sensor whose chip is powered down answers EAGAIN, from which
    Python's buffered reader makes a TypeError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return ""
    parts: list[bytes] = []
    try:
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
            if len(parts) << 16 > _MAX_BYTES:
                break
    except OSError:  # EAGAIN, EIO, a folder …
        return ""
    finally:
        os.close(descriptor)
    return b"".join(parts).decode(errors="replace").strip("\0\n ")


def _first(text: str, *keys: str) -> str:
    """The first non-empty value among "key : value" lines, the keys in this order."""
    for key in keys:
        found = re.search(rf"^{re.escape(key)}\s*:[ \t]*(\S.*)$", text, re.MULTILINE)
        if found:
            return found[1].strip()
    return ""
