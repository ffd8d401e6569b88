"""The filter of system calls, decided here as the kernel decides it: on each machine, whatever this one is."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from fer_edge.program import seccomp

PID = 4242
ALLOWED, REFUSED, KILLED = 0x7FFF0000, 0x00050001, 0x80000000
READ = {0: 0, 1: 63, 2: 3}
NAMES = sorted({*seccomp.REFUSED, *seccomp.WRITING})


def decide(code: list[tuple[int, int, int, int]], arch: int, number: int, *arguments: int) -> int:
    """What the kernel's interpreter of classic BPF returns (linux/filter.h), for the few instructions that are used."""
    data = {0: number, 4: arch} | {16 + 8 * i: value & 0xFFFFFFFF for i, value in enumerate(arguments)}
    at = value = 0
    while True:
        kind, yes, no, k = code[at]
        at += 1
        if kind == 0x06:
            return k
        if kind == 0x20:
            value = data.get(k, 0)
        else:
            at += yes if {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[kind] else no


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "armv7l"])
@pytest.mark.parametrize("may_write", [False, True])
def test_what_is_refused(machine: str, may_write: bool) -> None:
    column, arch = seccomp.MACHINES[machine]
    code = seccomp.program(column, arch, PID, may_write)
    assert len(code) < 4096  # BPF_MAXINSNS
    assert decide(code, arch, READ[column]) == ALLOWED
    assert decide(code, arch ^ 1, READ[column]) == KILLED
    for name, numbers in {**seccomp.REFUSED, **seccomp.WRITING}.items():
        if numbers[column] >= 0:
            expected = ALLOWED if may_write and name in seccomp.WRITING else REFUSED
            assert decide(code, arch, numbers[column]) == expected, name
    for numbers, argument in seccomp.OPENS.values():
        if numbers[column] >= 0:
            reading, writing = [0] * 3, [0] * 3
            reading[argument], writing[argument] = 0o2000000, 0o1102  # O_CLOEXEC; O_RDWR | O_CREAT | O_TRUNC
            assert decide(code, arch, numbers[column], *reading) == ALLOWED
            assert decide(code, arch, numbers[column], *writing) == (ALLOWED if may_write else REFUSED)
    number = seccomp.CLONE[column]
    assert (decide(code, arch, number, 0x3D0F00), decide(code, arch, number, 17)) == (ALLOWED, REFUSED)  # thread; fork
    assert decide(code, arch, seccomp.CLONE3) == 0x00050000 | errno.ENOSYS
    number = seccomp.TGKILL[column]
    assert (decide(code, arch, number, PID), decide(code, arch, number, PID + 1)) == (ALLOWED, REFUSED)
    if machine == "x86_64":
        assert decide(code, arch, 0x40000000 | 41) == REFUSED  # the x32 numbers


@pytest.mark.parametrize(
    ("column", "header"),
    [(0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), (1, "/usr/include/asm-generic/unistd.h")],
)
def test_the_numbers_are_the_kernels(column: int, header: str) -> None:
    if not Path(header).is_file():
        pytest.skip(f"{header} is not here: sudo apt install linux-libc-dev")
    text = Path(header).read_text()
    known = {name: int(n) for name, n in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\s", text)}
    tables = {**seccomp.REFUSED, **seccomp.WRITING, **{name: numbers for name, (numbers, _) in seccomp.OPENS.items()}}
    checked = 0
    for name, numbers in {**tables, "tgkill": seccomp.TGKILL}.items():
        if numbers[column] >= 0 and name in known:
            checked += 1
            assert known[name] == numbers[column], name
    assert checked > 40
