"""Is this processor emulated? Timings taken then say nothing about a board, and are labelled so."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from fer_edge.board.identify import read_text

# Machine names whose programs one processor runs by itself: 32-bit ones run on their 64-bit sibling.
_FAMILIES = {
    "x86": ("x86_64", "amd64", "i386", "i486", "i586", "i686"),
    "arm": ("aarch64", "aarch64_be", "arm64", "armv6l", "armv7l", "armv8l", "arm"),
}
_INTERPRETERS = ("qemu-", "fex", "box64", "box86", "rosetta")
_TCG = ("QEMU TCG CPU", "QEMU Virtual CPU")  # names of x86 processors that qemu computes in software
_QEMU_MAX = ("0x00", "0x051")  # implementer and part of the ARM processor that qemu calls "max"


def emulation(root: Path = Path("/"), machine: str | None = None) -> str:
    """What emulates this processor, for a message; empty where nothing shows that anything does.

    Three signs. Under a user-mode emulator the kernel is another processor's (``/proc/sys/kernel/arch``, Linux 6.1 and
    newer), and the program that really runs is the emulator: qemu answers for ``/proc/self/exe`` itself, but not for
    ``/proc/thread-self/exe`` (seen with qemu 7.2 and 10.0). A whole emulated machine shows its processor's name.

    Args:
        root: of /proc; recorded trees are tested.
        machine: what programs are told; None asks.
    """
    machine = machine or platform.machine()
    program = _link_name(root / "proc" / "thread-self" / "exe")
    if program.lower().startswith(_INTERPRETERS):
        return program
    kernel = read_text(root / "proc" / "sys" / "kernel" / "arch")
    if kernel and _family(kernel) != _family(machine):
        return f"{machine} on a kernel for {kernel}"
    return _emulated_cpu(read_text(root / "proc" / "cpuinfo"))


def _emulated_cpu(cpuinfo: str) -> str:
    """The processor's name if it is one that only software computes."""
    pairs = [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in cpuinfo.splitlines())]
    fields = dict(reversed(pairs))  # of the first processor
    name = fields.get("model name", "")
    if any(tcg in name for tcg in _TCG):
        return name
    if (fields.get("CPU implementer"), fields.get("CPU part")) == _QEMU_MAX:
        return "qemu's max processor"
    return ""


def _family(machine: str) -> str:
    return next((family for family, names in _FAMILIES.items() if machine in names), machine)


def _link_name(path: Path) -> str:
    try:
        return os.path.basename(os.readlink(path))
    except OSError:
        return ""
