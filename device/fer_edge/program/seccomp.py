"""A filter of system calls (seccomp(2)) that a process puts on itself: no network, no program, no file written.

From then on it reads files, computes, and writes into what is open already; it sends no signal to others.

A list of what is refused, not of what is allowed: a new C library may use calls that nobody listed, and must not fail.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

# numbers on x86_64, aarch64 (asm-generic) and 32-bit ARM (EABI), -1 where there is none: the kernel's unistd.h of each
REFUSED = {
    # network
    "socket": (41, 198, 281), "socketpair": (53, 199, 288), "connect": (42, 203, 283), "bind": (49, 200, 282),
    "accept": (43, 202, 285), "accept4": (288, 242, 366), "sendto": (44, 206, 290), "sendmsg": (46, 211, 296),
    "sendmmsg": (307, 269, 374), "io_uring_setup": (425, 425, 425),
    # other programs and processes
    "execve": (59, 221, 11), "execveat": (322, 281, 387), "ptrace": (101, 117, 26), "kill": (62, 129, 37),
    "tkill": (200, 130, 238), "rt_sigqueueinfo": (129, 138, 178), "rt_tgsigqueueinfo": (297, 240, 363),
    "pidfd_open": (434, 434, 434), "pidfd_send_signal": (424, 424, 424), "pidfd_getfd": (438, 438, 438),
    "process_vm_readv": (310, 270, 376), "process_vm_writev": (311, 271, 377), "shmget": (29, 194, 307),
    "msgget": (68, 186, 303), "semget": (64, 190, 299), "mq_open": (240, 180, 274),
    # the kernel's own doors
    "fork": (57, -1, 2), "vfork": (58, -1, 190),
    "unshare": (272, 97, 337), "setns": (308, 268, 375), "mount": (165, 40, 21), "bpf": (321, 280, 386),
    "perf_event_open": (298, 241, 364), "userfaultfd": (323, 282, 388), "keyctl": (250, 219, 311),
    "add_key": (248, 217, 309), "request_key": (249, 218, 310),
}  # fmt: skip
# besides, of a process that need not write and has its limits
WRITING = {
    "prlimit64": (302, 261, 369), "setrlimit": (160, 164, 75),
    "openat2": (437, 437, 437), "creat": (85, -1, 8), "truncate": (76, 45, 92), "truncate64": (-1, -1, 193),
    "unlink": (87, -1, 10), "unlinkat": (263, 35, 328), "rename": (82, -1, 38), "renameat": (264, 38, 329),
    "renameat2": (316, 276, 382), "mkdir": (83, -1, 39), "mkdirat": (258, 34, 323), "rmdir": (84, -1, 40),
    "link": (86, -1, 9), "linkat": (265, 37, 330), "symlink": (88, -1, 83), "symlinkat": (266, 36, 331),
    "chmod": (90, -1, 15), "fchmodat": (268, 53, 333), "fchmodat2": (452, 452, 452), "chown": (92, -1, 182),
    "lchown": (94, -1, 16), "fchownat": (260, 54, 325), "mknod": (133, -1, 14), "mknodat": (259, 33, 324),
    "utimensat": (280, 88, 348), "setxattr": (188, 5, 226), "lsetxattr": (189, 6, 227),
}  # fmt: skip
OPENS = {"open": ((2, -1, 5), 1), "openat": ((257, 56, 322), 2)}  # numbers, and which argument holds the flags
CLONE, CLONE3, CLONE_THREAD = (56, 220, 120), 435, 0x10000  # threads only; the flags of clone3 lie in memory
TGKILL = (234, 131, 268)  # how a process ends itself by abort(); to others it is refused
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7), "armv7l": (2, 0x40000028), "armv6l": (2, 0x40000028)}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

# linux/bpf_common.h, linux/filter.h, linux/seccomp.h
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_X32 = 0x40000000  # x86_64's other numbers for the same calls
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2  # linux/prctl.h


def program(column: int, arch: int, pid: int, may_write: bool = False) -> list[tuple[int, int, int, int]]:
    """The filter as (code, jump if true, jump if false, value), see linux/filter.h.

    Args:
        column: of the machine, in the tables.
        arch: the machine's AUDIT_ARCH (linux/audit.h).
        pid: of the process that may end itself.
        may_write: leaves files alone.
    """
    refuse, allow = (_RETURN, 0, 0, _ERRNO | errno.EPERM), (_RETURN, 0, 0, _ALLOW)
    found = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _KILL_PROCESS), (_LOAD, 0, 0, _NUMBER)]
    if column == 0:
        found += [(_AT_LEAST, 0, 1, _X32), refuse]
    for numbers in (*REFUSED.values(), *(() if may_write else WRITING.values())):
        if numbers[column] >= 0:
            found += [(_EQUAL, 0, 1, numbers[column]), refuse]
    found += [(_EQUAL, 0, 1, CLONE3), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]  # the C library takes clone then
    found += [(_EQUAL, 0, 4, CLONE[column]), (_LOAD, 0, 0, _ARGUMENTS), (_ANY_BIT, 1, 0, CLONE_THREAD), refuse, allow]
    for numbers, argument in OPENS.values():
        if numbers[column] >= 0 and not may_write:
            flags = (_LOAD, 0, 0, _ARGUMENTS + 8 * argument)
            found += [(_EQUAL, 0, 4, numbers[column]), flags, (_ANY_BIT, 0, 1, WRITES), refuse, allow]
    found += [(_EQUAL, 0, 4, TGKILL[column]), (_LOAD, 0, 0, _ARGUMENTS), (_EQUAL, 1, 0, pid), refuse, allow]
    return [*found, allow]


def install(may_write: bool = False) -> str:
    """Puts the filter on this process; "" where it holds, else why it does not.

    It holds for the calling thread and those that it starts: to be called while there is one.

    Args:
        may_write: leaves files alone; called again without, it does not.
    """
    column, arch = MACHINES.get(platform.machine(), (-1, 0))
    is_narrow = struct.calcsize("P") == 4
    if is_narrow and column in (0, 1):  # 32-bit programs on a 64-bit kernel
        column, arch = (2, 0x40000028) if column == 1 else (-1, 0)
    if column < 0:
        return f"no filter of system calls for {platform.machine()}"
    if len(os.listdir("/proc/self/task")) > 1:
        return "a library has started threads, which a filter of system calls would not hold"
    code = program(column, arch, os.getpid(), may_write)
    packed = b"".join(struct.pack("<HBBI", *line) for line in code)
    buffer = ctypes.create_string_buffer(packed, len(packed))

    class Program(ctypes.Structure):  # struct sock_fprog
        _fields_ = (("n", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    libc = ctypes.CDLL(None, use_errno=True)
    found = Program(len(code), ctypes.addressof(buffer))
    zero = ctypes.c_ulong(0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero):
        return f"the kernel takes no filter of system calls ({os.strerror(ctypes.get_errno())})"
    if libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(found), zero, zero):
        return f"the kernel takes no filter of system calls ({os.strerror(ctypes.get_errno())})"
    return ""
