"""Simulated boards: Debian userlands booted by systemd-nspawn, each with its own systemd, sshd, network and machine-id.

One userland, installed once by mmdebstrap into ``build/fleet``, is shared and never written to; each board has an
overlay of its own over it. Their network is a bridge in a namespace of its own (``fl-net``), which reaches nothing
else; Ansible is run in that namespace. What is not a board's here: the kernel is this machine's, there is no camera.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).parents[2]
CACHE = PROJECT / "build" / "fleet"
USERLAND = CACHE / "userland"
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "libnss-systemd", "openssh-server", "python3-minimal", "python3", "python3-venv",
    "python3-numpy", "procps", "util-linux", "iproute2", "passwd",
)  # fmt: skip
SUITE = "trixie"
TOOLS = {
    "mmdebstrap": "mmdebstrap", "systemd-nspawn": "systemd-container", "ip": "iproute2", "ssh": "openssh-client",
    "ssh-keygen": "openssh-client", "unshare": "util-linux",
}  # fmt: skip
_LAYOUT = 1  # raise it when the way of making the userland changes
_BOOT_S = 120


class ImpossibleError(Exception):
    """This machine cannot boot such boards."""


def missing() -> str:
    """Why no board can be booted here; "" where it can be tried."""
    if platform.machine() != "x86_64" or platform.system() != "Linux":
        return f"the boards are x86-64 Debian; this is {platform.system()} on {platform.machine()}"
    if os.geteuid() != 0:
        return "namespaces, overlays and systemd-nspawn need root"
    absent = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    return f"not installed: {', '.join(absent)}" if absent else ""


def run(*line: object, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs a command; its error output is in the exception."""
    words = [str(word) for word in line]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=timeout)
    if check and done.returncode:
        raise ImpossibleError(f"{' '.join(words)}: status {done.returncode}: {(done.stderr or done.stdout)[-400:]}")
    return done


def userland() -> Path:
    """The shared tree; made once, minutes.

    Raises:
        ImpossibleError: no root, no tools or no Debian mirror.
    """
    if missing():
        raise ImpossibleError(missing())
    CACHE.mkdir(parents=True, exist_ok=True)
    recipe = hashlib.sha256(f"{_LAYOUT} {SUITE} {PACKAGES}".encode()).hexdigest()[:16]
    ready = CACHE / "userland.ready"
    with (CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready.is_file() and ready.read_text() == recipe:
            return USERLAND
        ready.unlink(missing_ok=True)
        if USERLAND.exists():
            shutil.rmtree(USERLAND)
        mirror = os.environ.get("FER_DEBIAN_MIRROR", "")
        line = ["mmdebstrap", "--variant=minbase", "--architectures=amd64", f"--include={','.join(PACKAGES)}"]
        line += ['--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io"]
        line += ["--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*"]
        line += ["--dpkgopt=path-exclude=/usr/share/doc/*"]
        run(*line, SUITE, USERLAND, *([mirror] if mirror else []), timeout=1800)
        for name in ("ssh.socket", "apt-daily.timer", "apt-daily-upgrade.timer", "man-db.timer", "getty.target"):
            run("systemctl", f"--root={USERLAND}", "--quiet", "mask", name)
        run("systemctl", f"--root={USERLAND}", "--quiet", "enable", "ssh.service")
        (USERLAND / "etc/machine-id").write_text("")
        ready.write_text(recipe)
    return USERLAND


@dataclass
class Board:
    """One simulated board.

    Attributes:
        name: also its network namespace's.
        address: in the boards' network.
        folder: what it writes, and where its tree is mounted.
    """

    name: str
    address: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    mounts: list[Path] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """Its tree as this machine sees it."""
        return self.folder / "root"

    @property
    def machine_id(self) -> str:
        """Its own; from its name."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:32]

    def read_link(self, path: str) -> str:
        """Where a link in its tree leads; "" where there is none."""
        link = self.root / path.lstrip("/")
        return os.readlink(link) if link.is_symlink() else ""

    def version(self) -> str:
        """The version in use."""
        return Path(self.read_link("/opt/fer-edge/current")).name


class Fleet:
    """Boards and the network between them and Ansible; everything goes with ``stop``."""

    def __init__(self, folder: Path, prefix: str = "fl-", subnet: str = "10.213.77") -> None:
        """Names: ``prefix`` begins the namespaces' and the boards' names."""
        self.folder, self.prefix, self.subnet = folder, prefix, subnet
        self.boards: dict[str, Board] = {}
        self.network = f"{prefix}net"
        self.key = folder / "key"

    def start(self) -> None:
        """The network and the key that every board lets in."""
        self.folder.mkdir(parents=True, exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)
        run("ip", "netns", "add", self.network)
        inside = ("ip", "-n", self.network)
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "link", "add", "br0", "type", "bridge")
        run(*inside, "address", "add", f"{self.subnet}.1/24", "dev", "br0")
        run(*inside, "link", "set", "br0", "up")

    def add(self, name: str, small_opt_mb: int = 0) -> Board:
        """Boots a board; ``small_opt_mb`` makes its /opt a file system of that size."""
        number = len(self.boards) + 2
        board = Board(f"{self.prefix}{name}", f"{self.subnet}.{number}", self.folder / name)
        self.boards[name] = board
        for part in ("upper", "work", "root"):
            (board.folder / part).mkdir(parents=True)
        layers = f"lowerdir={USERLAND},upperdir={board.folder}/upper,workdir={board.folder}/work"
        self._mount(board, "-t", "overlay", "-o", layers, "overlay", board.root)
        if small_opt_mb:
            self._mount(board, "-t", "tmpfs", "-o", f"size={small_opt_mb}m,mode=755", "tmpfs", board.root / "opt")
        (board.root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
        shutil.copy(self.key.with_suffix(".pub"), board.root / "root/.ssh/authorized_keys")
        (board.root / "etc/hostname").write_text(board.name + "\n")
        (board.root / "etc/machine-id").write_text(board.machine_id + "\n")
        run("ip", "netns", "add", board.name)
        run("ip", "-n", self.network, "link", "add", f"v{number}", "type", "veth", "peer", "eth0", "netns", board.name)
        run("ip", "-n", self.network, "link", "set", f"v{number}", "master", "br0", "up")
        run("ip", "-n", board.name, "address", "add", f"{board.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            run("ip", "-n", board.name, "link", "set", device, "up")
        line = ["systemd-nspawn", "--quiet", "--boot", f"--directory={board.root}", f"--machine={board.name}"]
        line += ["--register=no", "--keep-unit", f"--network-namespace-path=/run/netns/{board.name}"]
        line += [f"--uuid={board.machine_id}", "--console=pipe", "--resolv-conf=off", "--timezone=off"]
        with (board.folder / "console.log").open("wb") as log:
            board.process = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        return board

    def _mount(self, board: Board, *words: object) -> None:
        run("mount", *words)
        board.mounts.append(Path(str(words[-1])))

    def wait(self) -> float:
        """Until every board lets ssh in; gives the seconds it took."""
        began = time.monotonic()
        for board in self.boards.values():
            while self.ssh(board, "true", check=False).returncode:
                if board.process is not None and board.process.poll() is not None:
                    raise ImpossibleError(f"{board.name} did not boot: {self.console(board)}")
                if time.monotonic() - began > _BOOT_S:
                    raise ImpossibleError(f"{board.name} lets nobody in after {_BOOT_S} s: {self.console(board)}")
                time.sleep(0.5)
        return time.monotonic() - began

    def console(self, board: Board) -> str:
        """The end of what it said while it booted."""
        return (board.folder / "console.log").read_text(errors="replace")[-600:]

    def ssh_options(self) -> list[str]:
        """Of every connection."""
        return [
            "-i", str(self.key), "-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no", "-o",
            "LogLevel=ERROR", "-o", "ConnectTimeout=10",
        ]  # fmt: skip

    def inside(self) -> list[str]:
        """The beginning of a command that is run in the boards' network."""
        return ["ip", "netns", "exec", self.network]

    def ssh(self, board: Board, command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command on a board, as root."""
        line = [*self.inside(), "ssh", *self.ssh_options(), f"root@{board.address}", command]
        return run(*line, check=check, timeout=300)

    def cut(self, board: Board) -> None:
        """Takes its network away."""
        run("ip", "-n", board.name, "link", "set", "eth0", "down")

    def join(self, board: Board) -> None:
        """Gives its network back."""
        run("ip", "-n", board.name, "link", "set", "eth0", "up")

    def stop(self) -> None:
        """Ends every board and takes away what was made for it."""
        for board in self.boards.values():
            if board.process is not None and board.process.poll() is None:
                board.process.send_signal(signal.SIGTERM)  # nspawn shuts it down
        for board in self.boards.values():
            if board.process is not None:
                try:
                    board.process.wait(30)
                except subprocess.TimeoutExpired:
                    board.process.kill()
                    board.process.wait()
            for place in reversed(board.mounts):
                run("umount", place, check=False)
                run("umount", "--lazy", place, check=False)
            run("ip", "netns", "delete", board.name, check=False)
            if not os.path.ismount(board.root):
                shutil.rmtree(board.folder, ignore_errors=True)
        run("ip", "netns", "delete", self.network, check=False)


@contextlib.contextmanager
def fleet(folder: Path, names: Mapping[str, int], prefix: str = "fl-", subnet: str = "10.213.77") -> Iterator[Fleet]:
    """Boards of these names, booted and reachable, all gone afterwards; a number is the size of a small /opt in MB."""
    userland()
    made = Fleet(folder, prefix, subnet)
    try:
        made.start()
        for name, small_opt_mb in names.items():
            made.add(name, small_opt_mb)
        made.wait()
        yield made
    finally:
        made.stop()
