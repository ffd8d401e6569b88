"""``fer-edge service``: the systemd unit that ships with fer-edge, installed, shown, removed. install.sh uses it.

Everything is decided before anything is changed; a second installation changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fer_edge.contract.whole import whole_file
from fer_edge.errors import UsageError

NAME = "fer-edge"
SHIPPED = Path(__file__).with_name("fer-edge.service")
SHIPPED_COMMAND = "/opt/fer-edge/bin/fer-edge"
UNREADABLE = ("/home/", "/root/", "/tmp/")  # for the unit: ProtectHome, PrivateTmp
FIRST_CONFIG = """\
# What the service fer-edge does. All keys: fer-edge config show; after a change: fer-edge config check,
# then systemctl reload fer-edge (what can change while running) or systemctl restart fer-edge.
[source]
camera = true  # or: uri = "v4l2://usb:046d:0825"
wait = true
# A network camera: uri = "rtsp://user@host/path", and its password alone in a file of root's:
# password_file = "/etc/fer-edge/source-password"

[jsonl]
path = "-"  # the journal: journalctl -u fer-edge; a file has to be in /var/lib/fer-edge

# A page with the live picture at http://<this machine>:8080/; the token is in /var/lib/fer-edge/web-token (for root).
# [web]
# enabled = true
# address = "0.0.0.0"
"""
Run = Callable[..., int]


@dataclass(frozen=True)
class Place:
    """Where the unit and its configuration go; ``root`` is another folder in tests."""

    root: Path = Path("/")

    @property
    def unit(self) -> Path:
        """The unit's file."""
        return self.root / f"etc/systemd/system/{NAME}.service"

    @property
    def config(self) -> Path:
        """The configuration that the service reads."""
        return self.root / "etc/fer-edge/config.toml"

    @property
    def systemd_runs(self) -> bool:
        """False in a container or a chroot."""
        return (self.root / "run/systemd/system").is_dir()


SYSTEM = Place()


def systemctl(*words: str) -> int:
    """Runs systemctl; gives its status."""
    return subprocess.run(["systemctl", *words], check=False).returncode


def unit_text(command: str, shipped: Path = SHIPPED) -> str:
    """The shipped unit with this installation's command in it."""
    return shipped.read_text(encoding="utf-8").replace(SHIPPED_COMMAND, command)


def command_of(prefix: Path | None, executable: Path = Path(sys.executable)) -> str:
    """What the unit starts: the installation's own link, which moves with a new version, or this environment's command.

    Raises:
        UsageError: none there, or where a service cannot read.
    """
    found = re.fullmatch(r"(.+)/versions/[^/]+/venv/bin/[^/]+", str(executable))
    if prefix is None and found:
        prefix = Path(found[1])
    command = prefix / "bin/fer-edge" if prefix is not None else executable.parent / "fer-edge"
    if not command.exists():
        raise UsageError(f"service: no {command}; expected an installation by install.sh, or --prefix DIR of one")
    if not re.fullmatch(r"[A-Za-z0-9/._+-]+", str(command)) or str(command).startswith(UNREADABLE):
        raise UsageError(f"service: a service cannot read {command}; install in /opt (sudo sh install.sh --service)")
    return str(command)


def install(prefix: Path | None = None, place: Place = SYSTEM, run: Run = systemctl, start: bool = True) -> int:
    """Installs, enables and starts the service; the configuration is only written where there is none.

    Args:
        prefix: of the installation; None takes the one that this program is in.
        place: where files go.
        run: systemctl.
        start: False only brings an installed unit up to date and restarts it if it runs.

    Raises:
        UsageError: not root, no systemd, or no installation that a service can start.
    """
    _require_root(place)
    text = unit_text(command_of(prefix))
    account = group_of_service() if place.root == Path("/") else os.getgid()
    is_new = not place.unit.is_file() or place.unit.read_text(encoding="utf-8") != text
    if is_new:
        _write(place.unit, text)
    if start and not place.config.exists():
        _write(place.config, FIRST_CONFIG, 0o640, account)
        print(f"service: configuration: {place.config}")
    elif place.config.exists():
        _protect(place.config, account)
    if start and run("--quiet", "enable", NAME):
        raise UsageError(f"service: systemctl enable {NAME} failed; see its message above")
    if not place.systemd_runs:
        print(f"service: {NAME} is enabled, systemd does not run here")
        return 0
    run("daemon-reload")
    verb = "try-restart" if not start else "restart" if is_new else "start"
    if run(verb, NAME):
        raise UsageError(f"service: {NAME} did not start; journalctl -u {NAME} says why")
    print(f"service: systemctl status {NAME}; journalctl -u {NAME}")
    return 0


def status(place: Place = SYSTEM, run: Run = systemctl) -> int:
    """What systemd says; 0 where it runs, as systemctl's own status."""
    if not place.unit.is_file():
        raise UsageError(f"service: not installed (no {place.unit}); sudo fer-edge service install")
    return run("--no-pager", "--lines=5", "status", NAME)


def uninstall(place: Place = SYSTEM, run: Run = systemctl) -> int:
    """Stops and removes the unit; the configuration stays.

    Raises:
        UsageError: not root, or no systemd.
    """
    _require_root(place)
    if not place.unit.is_file():
        print("service: not installed; nothing to do")
        return 0
    if place.systemd_runs:
        run("--quiet", "disable", "--now", NAME)
    run("--quiet", "disable", NAME)
    place.unit.unlink()
    if place.systemd_runs:
        run("daemon-reload")
    print(f"service: removed; {place.config} stays" if place.config.exists() else "service: removed")
    return 0


def _require_root(place: Place) -> None:
    if place.root == Path("/") and os.geteuid() != 0:
        raise UsageError("service: needs root; sudo fer-edge service …")
    if place.root == Path("/") and shutil.which("systemctl") is None:
        raise UsageError("service: this machine has no systemctl; expected systemd")


def group_of_service() -> int:
    """The group of the service's account, which is made where there is none.

    systemd would make one for each run of the service (DynamicUser), which no file could belong to; it takes an account
    of the unit's name where there is one. It stays when the service goes: its number might become somebody else's, who
    could then read what it left in /var/lib/fer-edge.

    Raises:
        UsageError: it cannot be made.
    """
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(NAME).pw_gid
    line = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    done = subprocess.run([*line, "--shell", "/usr/sbin/nologin", NAME], capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UsageError(
            f"service: no account {NAME} ({why}); expected that root can make one: useradd --system {NAME}"
        )
    return pwd.getpwnam(NAME).pw_gid


def _protect(path: Path, group: int) -> None:
    """Takes a configuration of root's from the eyes of others: it may name users and places."""
    about = path.stat()
    if about.st_uid == os.geteuid() and (stat.S_IMODE(about.st_mode), about.st_gid) != (0o640, group):
        os.chown(path, -1, group)
        path.chmod(0o640)
        print(f"service: {path} can now be read by root and the group {NAME} alone")


def _write(path: Path, text: str, mode: int = 0o644, group: int = -1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, 0o600) as file:
        file.write_text(text, encoding="utf-8")
        os.chown(file, -1, group)
        file.chmod(mode)
