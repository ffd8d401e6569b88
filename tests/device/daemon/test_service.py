"""``fer-edge service`` in a folder of its own, with a systemctl that writes down what it is asked; and the unit."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_edge import config
from fer_edge.daemon import service
from fer_edge.daemon.service import Place, command_of, install, status, uninstall, unit_text
from fer_edge.errors import UsageError


class Systemctl:
    """Records; fails for the verbs it is told to."""

    def __init__(self, *failing: str) -> None:
        self.failing, self.asked = failing, list[str]()

    def __call__(self, *words: str) -> int:
        self.asked.append(" ".join(word for word in words if word != "--quiet"))
        return int(any(word in self.failing for word in words))


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation; a service may not be in /tmp, where tests are, so the check is told of another folder."""
    command = tmp_path / "opt/fer-edge/bin/fer-edge"
    command.parent.mkdir(parents=True)
    command.touch()
    monkeypatch.setattr(service, "UNREADABLE", ("/home/", "/root/"))
    return tmp_path / "opt/fer-edge"


def test_installed_shown_and_removed(prefix: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    place, systemctl = Place(tmp_path), Systemctl()
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert install(prefix, place, systemctl) == 0
    assert systemctl.asked == ["enable fer-edge", "daemon-reload", "restart fer-edge"]
    text = place.unit.read_text()
    assert f"ExecStart={prefix}/bin/fer-edge run $FER_EDGE_RUN\n" in text
    assert "/opt/fer-edge/bin/fer-edge" not in text.replace(str(prefix), "")
    got, _ = config.load(place.config)
    assert (got.source.camera, got.source.wait, got.jsonl.path) == (True, True, "-")
    hinted = tmp_path / "hinted.toml"  # what it offers as comments is right too
    hinted.write_text(
        place.config.read_text().replace("# [", "[").replace("# enabled", "enabled").replace("# addr", "addr")
    )
    page, _ = config.load(hinted)
    assert (page.web.enabled, page.web.address) == (True, "0.0.0.0")
    before = place.unit.stat()
    place.config.write_text("[web]\nenabled = true\n")
    again = Systemctl()
    assert install(prefix, place, again) == 0
    assert again.asked[-1] == "start fer-edge"  # one that runs goes on
    update = Systemctl()
    assert install(prefix, place, update, start=False) == 0
    assert update.asked == ["daemon-reload", "try-restart fer-edge"]
    assert place.unit.stat().st_ino == before.st_ino  # nothing to change
    assert place.config.read_text() == "[web]\nenabled = true\n"  # the user's
    asked = Systemctl()
    assert status(place, asked) == 0
    assert asked.asked == ["--no-pager --lines=5 status fer-edge"]
    assert uninstall(place, asked) == 0
    assert not place.unit.exists()
    assert place.config.exists()
    assert asked.asked[1:] == ["disable --now fer-edge", "disable fer-edge", "daemon-reload"]
    assert uninstall(place, asked) == 0  # again
    assert "config.toml stays" in capfd.readouterr().out
    assert not list(tmp_path.rglob("*.new"))


def test_the_configuration_is_for_root_and_the_service_alone(
    prefix: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = Place(tmp_path)
    before = os.umask(0)
    try:
        install(prefix, place, Systemctl())
    finally:
        os.umask(before)
    assert stat.S_IMODE(place.config.stat().st_mode) == 0o640
    assert place.config.stat().st_gid == os.getgid()
    place.config.chmod(0o644)  # of an earlier version
    place.config.write_text("[web]\nenabled = true\n")
    install(prefix, place, Systemctl(), start=False)
    assert stat.S_IMODE(place.config.stat().st_mode) == 0o640
    assert place.config.read_text() == "[web]\nenabled = true\n"
    assert "can now be read by root and the group fer-edge alone" in capfd.readouterr().out
    install(prefix, place, Systemctl(), start=False)
    assert "can now be read" not in capfd.readouterr().out


def test_the_account_is_made_once_and_named(tmp_path: Path) -> None:
    """On a private copy of /etc, so that nothing of this machine changes."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("useradd") is None:
        pytest.skip("needs root, unshare and useradd")
    code = "from fer_edge.daemon import service as s; print(s.group_of_service(), s.group_of_service())"
    shutil.copytree("/etc", tmp_path / "etc", symlinks=True)
    python = shlex.join([sys.executable, "-c", code])
    script = f"mount --bind {shlex.quote(str(tmp_path / 'etc'))} /etc && {python} && getent passwd fer-edge"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False)
    if "mount" in done.stderr and done.returncode:
        pytest.skip(f"no mount namespace here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()[0].split()
    assert first == second
    assert done.stdout.splitlines()[1].endswith(":/nonexistent:/usr/sbin/nologin")


def test_credentials_stand_for_files_of_root_and_may_be_absent() -> None:
    """Without SetCredential=, a missing file would keep the service from starting."""
    lines = service.SHIPPED.read_text().splitlines()
    loaded = dict(
        line.removeprefix("LoadCredential=").split(":") for line in lines if line.startswith("LoadCredential")
    )
    assert {name: f"/etc/fer-edge/{name}" for name in ("source-password", "mqtt-password", "web-token")} == loaded
    assert [line for line in lines if line.startswith("SetCredential=")] == [
        f"SetCredential={name}:\\n" for name in loaded
    ]


def test_without_a_running_systemd(prefix: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    asked = Systemctl()
    assert install(prefix, Place(tmp_path), asked) == 0
    assert asked.asked == ["enable fer-edge"]
    assert "systemd does not run here" in capfd.readouterr().out


@pytest.mark.parametrize(("verb", "said"), [("enable", "enable fer-edge failed"), ("restart", "did not start")])
def test_what_systemctl_refuses(prefix: Path, tmp_path: Path, verb: str, said: str) -> None:
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    with pytest.raises(UsageError, match=said):
        install(prefix, Place(tmp_path), Systemctl(verb))


def test_what_a_service_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected an installation by install\.sh"):
        install(tmp_path, Place(tmp_path), Systemctl())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/fer-edge").touch()
    with pytest.raises(UsageError, match="cannot read"):  # /tmp
        install(tmp_path, Place(tmp_path), Systemctl())
    assert not Place(tmp_path).unit.exists()
    with pytest.raises(UsageError, match="not installed"):
        status(Place(tmp_path), Systemctl())


def test_which_command_it_starts(prefix: Path) -> None:
    """From within a version of an installation: the link that moves with the next version."""
    inside = prefix / "versions/hawqc_mbv2-0.1.0-abc/venv/bin/python3"
    assert command_of(None, inside) == f"{prefix}/bin/fer-edge"
    other = prefix / "bin/python3"
    assert command_of(None, other) == f"{prefix}/bin/fer-edge"  # an environment: the command beside its Python


def test_needs_root(edge: Callable[..., subprocess.CompletedProcess[str]], one_line: Callable[..., str]) -> None:
    if os.geteuid() == 0:
        pytest.skip("is root here")
    one_line(edge("service", "install"), "needs root")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here (apt install systemd)")
    path = tmp_path / "fer-edge.service"
    path.write_text(unit_text("/bin/true"))
    return path


def test_the_unit_is_valid(unit: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_is_hardened(unit: Path) -> None:
    line = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", str(unit)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    found = re.search(r"exposure level for fer-edge\.service: (\d+\.\d+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= 1.5
    assert done.returncode == 0


def test_the_unit_and_the_program_agree() -> None:
    text = unit_text("/bin/true")
    assert "Type=notify\n" in text
    watchdog_s = float(re.findall(r"^WatchdogSec=(\d+)$", text, re.MULTILINE)[0])
    from fer_edge.sources import argus, live, reconnect

    longest = max(argus.FIRST_FRAME_S, live.FIRST_FRAME_S + live.STOP_S + 10) + live.STOP_S  # ways tried in turn
    assert watchdog_s > 1.5 * longest
    assert watchdog_s > 2 * reconnect.STUCK_S
    assert "User=root" not in text
    assert re.findall(r"^SupplementaryGroups=(.*)$", text, re.MULTILINE) == ["video"]


def test_the_unit_knows_cameras_that_come_later() -> None:
    """systemd resolves DeviceAllow=char-… at the start; tests/vm/guest_systemd.py sees what happens without."""
    lines = service.SHIPPED.read_text().splitlines()
    for key in ("Wants", "After"):
        assert any(line.startswith(f"{key}=") and "modprobe@videodev.service" in line for line in lines), key
