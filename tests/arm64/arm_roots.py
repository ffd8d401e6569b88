"""Debian userlands of other processors, run by qemu-user: unpacked packages and wheels, not an installed system.

No package's scripts have run and nothing was booted: Python, libc, numpy, OpenCV, the interpreter and its kernels are
the board's own files, everything else (kernel, /proc, /sys, devices) is this machine's.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).parents[2]
CACHE = PROJECT / "build" / "arm64"
MIRROR = os.environ.get("FER_DEBIAN_MIRROR", "http://deb.debian.org/debian")
BINFMT = Path("/proc/sys/fs/binfmt_misc")
TOOLS = {"mmdebstrap": "mmdebstrap", "qemu-aarch64-static": "qemu-user-static", "update-binfmts": "binfmt-support"}
SHELL = ("dash", "coreutils", "sed", "grep", "mawk", "util-linux", "python3-venv")  # what install.sh calls
PACKAGES = ("python3", "libstdc++6", *SHELL)
WHEEL_MACHINES = {"arm64": "aarch64", "armhf": "armv7l"}
WHEEL_PLATFORMS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
LITERT = ("ai-edge-litert", "opencv-python-headless", "numpy")
ONNX = (*LITERT, "onnxruntime")
_LAYOUT = 3  # raise it when the way of unpacking changes
_FORGET_AFTER_S = 12 * 3600
# The interpreter of boards that stay on Debian 12: built against numpy 1.
TFLITE = ("tflite-runtime==2.14.0", "opencv-python-headless", "numpy==1.26.4")


@dataclass(frozen=True)
class Cpu:
    """The processor of a board, as qemu and the kernel's /proc/cpuinfo name it.

    A board's own is emulated, never qemu's default "max": that one has SME, which qemu 7.2 computes wrongly (the int8
    variant is right on 34 of 100 faces instead of 85; with qemu 10.0, or without SME, its outputs are x86-64's). And
    /proc/cpuinfo must name that processor: qemu 7.2 passes this machine's on, on which ai-edge-litert 2.3.0 crashes
    (SIGSEGV), and where it names a newer processor than the emulated one, SIGILL follows.
    """

    name: str
    boards: str
    part: str
    features: str = "fp asimd evtstrm crc32 cpuid"

    def cpuinfo(self) -> str:
        """/proc/cpuinfo for as many of these as this machine has."""
        rest = f"BogoMIPS\t: 108.00\nFeatures\t: {self.features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        rest += f"CPU variant\t: 0x0\nCPU part\t: {self.part}\nCPU revision\t: 1\n"
        return "".join(f"processor\t: {i}\n{rest}\n" for i in range(os.cpu_count() or 1))


_A76 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
CPUS = {
    cpu.name: cpu
    for cpu in (
        Cpu("cortex-a53", "Raspberry Pi 3, Zero 2 W", "0xd03"),
        Cpu("cortex-a72", "Raspberry Pi 4", "0xd08"),
        Cpu("cortex-a76", "Raspberry Pi 5", "0xd0b", _A76),
    )
}


class ImpossibleError(Exception):
    """This machine cannot run other processors' programs: no root, or a kernel without binfmt_misc."""


@dataclass(frozen=True)
class RootSpec:
    """One userland.

    Attributes:
        name: of its folder and of the test parameter.
        suite: Debian's release.
        arch: Debian's name of the processor.
        qemu: the binfmt entry that runs it.
        python: version of Debian's python3 there.
        cpu: emulated there unless told otherwise; None takes qemu's default (32-bit).
        wheels: by folder under /opt, the requirements unpacked into it.
        packages: Debian packages unpacked with their dependencies.
    """

    name: str
    suite: str
    arch: str
    qemu: str
    python: str
    cpu: str | None = None
    wheels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    packages: tuple[str, ...] = PACKAGES

    @property
    def digest(self) -> str:
        """Of all that the unpacked files depend on; Debian's point releases are not followed."""
        pins = (PROJECT / "constraints.txt").read_text() if self.wheels else ""
        return hashlib.sha256(f"{self!r}{pins}{WHEEL_PLATFORMS}{_LAYOUT}".encode()).hexdigest()[:12]


ROOTS = {
    spec.name: spec
    for spec in (
        RootSpec(
            *("bookworm", "bookworm", "arm64", "qemu-aarch64", "3.11", "cortex-a72"),
            wheels={"litert": LITERT, "onnx": ONNX, "tflite": TFLITE},
        ),
        RootSpec("trixie", "trixie", "arm64", "qemu-aarch64", "3.13", "cortex-a76", {"litert": LITERT}),
        RootSpec(
            *("armhf", "bookworm", "armhf", "qemu-arm", "3.11", None),
            wheels={"tflite": ("tflite-runtime==2.14.0",)},
            packages=(*PACKAGES, "python3-numpy"),  # PyPI has no numpy and no OpenCV for 32-bit ARM
        ),
    )
}


@dataclass(frozen=True)
class Root:
    """An unpacked userland in which commands can be run; ``edge_path`` is fer-edge's folder as seen inside."""

    spec: RootSpec
    path: Path
    edge_path: str

    def run(
        self,
        *command: object,
        binds: Sequence[Path] = (),
        wheels: str = "litert",
        cpu: str | None = None,
        network: bool = True,
        timeout_s: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command inside, in a mount namespace of its own: nothing stays mounted afterwards.

        Args:
            command: program and arguments, paths as seen inside.
            binds: files and folders of this machine, seen inside under the same path.
            wheels: folder of the interpreter's wheels under /opt.
            cpu: one of CPUS; None takes the userland's.
            network: False takes it away.
            timeout_s: kills what hangs.
        """
        mounts = [f"mount -t proc proc '{self.path}/proc'"]
        mounts += [f"mount --rbind /{name} '{self.path}/{name}'" for name in ("dev", "sys")]
        for place in binds:
            inside = self.path / place.relative_to("/")
            if place.is_dir():
                inside.mkdir(parents=True, exist_ok=True)
            else:
                inside.parent.mkdir(parents=True, exist_ok=True)
                inside.touch()
            mounts.append(f"mount --rbind '{place}' '{inside}'")
        environment = {}
        cpu = cpu or self.spec.cpu
        if cpu is not None:
            environment["QEMU_CPU"] = cpu
            faked = self.path / "opt" / f"{cpu}.cpuinfo"
            if not faked.is_file():
                faked.write_text(CPUS[cpu].cpuinfo())
            mounts.append(f"mount --bind '{faked}' '{self.path}/proc/cpuinfo'")
        script = " && ".join((*mounts, 'exec chroot "$0" "$@"'))
        return subprocess.run(
            [
                "unshare",
                "--mount",
                *([] if network else ["--net"]),
                "sh",
                "-c",
                script,
                str(self.path),
                *map(str, command),
            ],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": "/root",
                "LC_ALL": "C.UTF-8",
                "PYTHONPATH": f"{self.edge_path}:/opt/{wheels}",
                # extract made no alternatives for Debian's own numpy
                "LD_LIBRARY_PATH": ":".join(f"/usr/lib/arm-linux-gnueabihf/{name}" for name in ("blas", "lapack")),
                **environment,
            },
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    def python(self, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        """Debian's python3 of that userland."""
        return self.run("/usr/bin/python3", *arguments, **options)  # type: ignore[arg-type]

    def edge(self, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        """``fer-edge`` of that userland."""
        return self.python("-m", "fer_edge.cli", *arguments, **options)


def need_emulation() -> None:
    """Installs qemu and registers it with the kernel.

    Raises:
        ImpossibleError: not root, or the kernel has no binfmt_misc.
        CalledProcessError: a package could not be installed.
    """
    if os.geteuid() != 0:
        raise ImpossibleError("needs root: mounts and chroot")
    if platform.machine() != "x86_64" or shutil.which("apt-get") is None:
        raise ImpossibleError("needs Debian or Ubuntu on x86-64")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        raise ImpossibleError("this machine (a container?) allows no mounts")
    missing = [package for program, package in TOOLS.items() if shutil.which(program) is None]
    if missing:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        # an index that is there may be old; one that is not makes every install fail
        _call("apt-get", "update", "-qq", env=environment)
        _call("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, "arch-test", env=environment)
    if not (BINFMT / "register").exists():
        done = subprocess.run(
            ["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ImpossibleError(f"no binfmt_misc in this kernel: {done.stderr.strip()}")
    for name in sorted({spec.qemu for spec in ROOTS.values()}):
        if not (BINFMT / name).exists():
            _call("update-binfmts", "--enable", name)
        if not (BINFMT / name).exists():
            raise ImpossibleError(f"the kernel did not take the binfmt entry {name}")


def ensure(name: str) -> Root:
    """The userland of this name with the present fer-edge; unpacked once, then found in build/arm64.

    Raises:
        ImpossibleError: see ``need_emulation``.
        CalledProcessError: the mirror, the package index or an archive failed.
    """
    need_emulation()
    spec = ROOTS[name]
    target = CACHE / f"{spec.name}-{spec.digest}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with _locked(CACHE / f"{spec.name}.lock"):
        if not target.is_dir():
            _unpack(spec, target)
        os.utime(target)
        edge = _put_edge(target / "opt")
    return Root(spec, target, f"/opt/{edge}")


def _unpack(spec: RootSpec, target: Path) -> None:
    started = time.monotonic()
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    # "extract" runs no package's scripts, so nothing makes the links that an installed Debian has
    links = 'for d in bin sbin lib; do mkdir -p "$1/usr/$d"; ln -s "usr/$d" "$1/$d"; done'
    _call(
        "mmdebstrap",
        "--quiet",
        "--variant=extract",
        f"--architectures={spec.arch}",
        '--aptopt=APT::Install-Recommends "false"',
        f"--setup-hook={links}",
        f"--include={','.join(spec.packages)}",
        spec.suite,
        str(temporary),
        MIRROR,
    )
    for folder, requirements in spec.wheels.items():
        _unpack_wheels(spec, requirements, temporary / "opt" / folder)
    (temporary / "usr" / "bin" / "awk").symlink_to("mawk")  # an alternative, which mawk's script would make
    for folder in ("proc", "sys", "dev", "tmp", "root", "opt"):
        (temporary / folder).mkdir(exist_ok=True)
    temporary.rename(target)
    _forget(CACHE.glob(f"{spec.name}-*"))
    print(f"[arm64] {spec.name}: unpacked in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def _unpack_wheels(spec: RootSpec, requirements: Sequence[str], target: Path) -> None:
    """Wheels for that Python and processor; versions by constraints.txt unless the requirement names one."""
    named = {requirement.partition("==")[0] for requirement in requirements if "==" in requirement}
    pins = [
        line
        for line in (PROJECT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#") and line.partition("==")[0] not in named
    ]
    scratch = target.with_name(f"{target.name}.wheels")
    scratch.mkdir(parents=True)
    (scratch / "pins.txt").write_text("\n".join(pins))
    _call(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--only-binary=:all:", "--implementation=cp", f"--python-version={spec.python}", "--constraint=pins.txt"),
        *(f"--platform={name}_{WHEEL_MACHINES[spec.arch]}" for name in WHEEL_PLATFORMS),
        *(["--no-deps"] if spec.arch == "armhf" else []),
        *requirements,
        cwd=scratch,
    )
    for wheel in sorted(scratch.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)
    shutil.rmtree(scratch)


def _put_edge(opt: Path) -> str:
    """Unpacks the fer-edge wheel of the present sources into a folder named by their digest; gives its name."""
    files = sorted(path for path in (PROJECT / "device").rglob("*") if path.suffix in (".py", ".toml", ".typed"))
    files = [path for path in files if "build" not in path.relative_to(PROJECT).parts]
    digest = hashlib.sha256(b"".join(str(path).encode() + path.read_bytes() for path in files)).hexdigest()
    target = opt / f"fer-edge-{digest[:12]}"
    if target.is_dir():
        os.utime(target)
        return target.name
    _forget(opt.glob("fer-edge-*"))
    # built from a copy: setuptools would leave a build folder in the tree and take its stale files next time
    scratch = opt / "edge-wheel"
    shutil.rmtree(scratch, ignore_errors=True)
    ignored = shutil.ignore_patterns("build", "*.egg-info")
    source = shutil.copytree(PROJECT / "device", scratch / "device", ignore=ignored)
    _call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={scratch}", str(source))
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(scratch / "files")
    (scratch / "files").rename(target)
    shutil.rmtree(scratch)
    return target.name


def _forget(folders: Iterable[Path]) -> None:
    """Removes what nobody took for some hours: a benchmark may be at work in the last but one."""
    for folder in folders:
        if time.time() - folder.stat().st_mtime > _FORGET_AFTER_S:
            shutil.rmtree(folder)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time: the benchmark and the tests may start together."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _call(*command: str, **options: object) -> None:
    """Runs a tool; its last words are in the error if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise RuntimeError(f"{command[0]} failed with status {done.returncode}:\n{' '.join(command)}\n{last}")


if __name__ == "__main__":
    for wanted in sys.argv[1:] or ROOTS:
        print(ensure(wanted).path)
