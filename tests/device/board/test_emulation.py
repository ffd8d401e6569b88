"""Emulated processors are told from real ones, on recorded trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_edge.board.commands import recorded
from fer_edge.board.emulation import emulation
from fer_edge.contract.bundle import Bundle
from fer_edge.profiler.measure import Plan
from fer_edge.profiler.session import Request, bench
from fer_edge.profiler.workloads import Subject
from fer_edge.setting.setting import setting_for

PI4 = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n"
XEON = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Processor\n"
TCG = "processor\t: 0\nmodel name\t: QEMU TCG CPU version 2.5+\nprocessor\t: 1\nmodel name\t: other\n"
QEMU_MAX = "processor\t: 0\nCPU implementer\t: 0x00\nCPU part\t: 0x051\n"


@pytest.mark.parametrize(
    ("exe", "arch", "cpuinfo", "machine", "expected"),
    [
        ("/usr/bin/python3.11", "aarch64", PI4, "aarch64", ""),
        ("/usr/bin/python3.11", "aarch64", PI4, "armv7l", ""),  # 32-bit userland on a Pi's 64-bit kernel
        ("/usr/bin/python3.11", "x86_64", XEON, "x86_64", ""),
        ("/usr/bin/python3.11", "x86_64", XEON, "i686", ""),
        ("/usr/bin/python3.11", None, PI4, "aarch64", ""),  # before Linux 6.1
        (None, None, None, "aarch64", ""),  # no /proc: nothing shows
        ("/usr/bin/qemu-aarch64-static", "x86_64", XEON, "aarch64", "qemu-aarch64-static"),
        ("/usr/bin/qemu-aarch64-static", None, PI4, "aarch64", "qemu-aarch64-static"),
        ("/usr/bin/FEX", "aarch64", PI4, "x86_64", "FEX"),
        ("/usr/bin/python3.11", "x86_64", PI4, "aarch64", "aarch64 on a kernel for x86_64"),
        ("/run/rosetta/rosetta", "aarch64", PI4, "x86_64", "rosetta"),
        ("/usr/bin/python3.11", "x86_64", TCG, "x86_64", "QEMU TCG CPU version 2.5+"),
        ("/usr/bin/python3.11", "aarch64", QEMU_MAX, "aarch64", "qemu's max processor"),
        ("/opt/qemu-tools/bin/python3", "x86_64", XEON, "x86_64", ""),  # a folder's name says nothing
    ],
)
def test_recorded_trees(
    tmp_path: Path, exe: str | None, arch: str | None, cpuinfo: str | None, machine: str, expected: str
) -> None:
    if exe is not None:
        (tmp_path / "proc/thread-self").mkdir(parents=True)
        (tmp_path / "proc/thread-self/exe").symlink_to(exe)
    for name, text in (("sys/kernel/arch", arch), ("cpuinfo", cpuinfo)):
        if text is not None:
            (tmp_path / "proc" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "proc" / name).write_text(text)
    assert emulation(tmp_path, machine) == expected


@pytest.mark.parametrize(("cpuinfo", "emulator"), [(XEON, ""), (TCG, "QEMU TCG CPU version 2.5+")])
def test_a_measurement_says_so_and_is_tainted(bundle: Bundle, tmp_path: Path, cpuinfo: str, emulator: str) -> None:
    """On whatever machine the tests run: the processor is the recorded tree's."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(cpuinfo)
    subject = Subject(bundle, setting_for(bundle.manifest, threads=1))
    plan = Plan(n=2, warmup=1)
    (document,) = bench(Request([subject], "model", plan, use_power=False, root=tmp_path, command=recorded(tmp_path)))
    assert document.emulated is bool(emulator)
    said = [reason for reason in document.tainted if reason.startswith("emulated")]
    assert said == ([f"emulated ({emulator}): these times say nothing about a board"] if emulator else [])
