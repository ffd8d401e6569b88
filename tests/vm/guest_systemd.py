"""In the test machine, as a unit of Debian's own systemd: fer-edge installed from its archive, and run as a service."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from guest import PROJECT, check, finish, sh

ARCHIVE = PROJECT / "build/vm/archive"
EDGE = "/opt/fer-edge/bin/fer-edge"
CONFIG = Path("/etc/fer-edge/config.toml")
UNIT = Path("/etc/systemd/system/fer-edge.service")
# The emulated processor is slow, and nobody wants to wait for the unit's own 90 s.
SLOW = "[Service]\nTimeoutStartSec=400\nWatchdogSec=30\n"
VIVID = ("modprobe", "vivid", "n_devs=1", "node_types=0x101", "num_inputs=1", "input_types=0x0")
FACES = """\
[source]
uri = "synthetic://?n=100000"
rate = 2.0
[jsonl]
path = "/var/lib/fer-edge/readings.jsonl"
[metrics]
enabled = true
[web]
enabled = true
address = "0.0.0.0"
"""


def unit(*names: str) -> dict[str, str]:
    """What systemd knows of the service."""
    lines = sh("systemctl", "show", "fer-edge", *(f"--property={name}" for name in names)).splitlines()
    return dict(line.split("=", 1) for line in lines)


def journal(since: str = "") -> str:
    """The service's lines; ``since`` is a cursor."""
    return sh(
        "journalctl", "--no-pager", "--output=cat", "--unit=fer-edge", *([f"--after-cursor={since}"] if since else [])
    )


def cursor() -> str:
    """The journal's end."""
    said = sh("journalctl", "--no-pager", "--lines=1", "--show-cursor", "--output=cat")
    return said.rpartition("-- cursor: ")[2].strip()


def until(what: Callable[[], object], said: str, seconds: float = 180) -> float:
    """Waits for something to be true; gives the seconds it took."""
    started = time.monotonic()
    while not what():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"in vain for {seconds:g} s: {said}; journal: {journal()[-2000:]}")
        time.sleep(0.5)
    return time.monotonic() - started


def running() -> bool:
    """A frame was read in the service's present process."""
    return " frames per second" in unit("StatusText")["StatusText"]


def systemd_is_the_first_process() -> str:
    assert Path("/proc/1/comm").read_text().strip() == "systemd"
    return sh("systemctl", "--version").splitlines()[0]


def the_archive_installs_without_a_network() -> str:
    done = subprocess.run(["sh", str(ARCHIVE / "install.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is installed and verified" in done.stdout, done.stdout
    return done.stdout.strip().splitlines()[-1]


def a_service_without_a_camera_is_ready_and_waits() -> str:
    drop_in = Path(f"{UNIT}.d/slow.conf")
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(SLOW)
    started = time.monotonic()
    said = sh(EDGE, "service", "install")  # returns once systemd got READY=1
    took = time.monotonic() - started
    state = unit("Type", "ActiveState", "SubState", "NRestarts", "StatusText", "WatchdogUSec")
    assert (state["Type"], state["ActiveState"], state["SubState"]) == ("notify", "active", "running"), state
    assert state["NRestarts"] == "0", state
    assert state["WatchdogUSec"] == "30s", state
    assert "waiting" in state["StatusText"], state
    assert CONFIG.is_file()
    return f"ready after {took:.0f} s: {state['StatusText']} | {said.strip().splitlines()[-1]}"


def waiting_feeds_the_watchdog() -> str:
    time.sleep(40)  # longer than WatchdogSec
    assert unit("NRestarts")["NRestarts"] == "0"
    return unit("StatusText")["StatusText"]


def a_camera_that_comes_is_taken() -> str:
    sh(*VIVID)
    device = Path("/dev/video0")
    until(lambda: device.exists() and device.stat().st_gid == 44, "udev gives the camera to group video", 60)
    took = until(running, "frames of the camera")
    readings = [json.loads(line) for line in journal().splitlines() if line.startswith('{"schema')]
    assert readings, journal()
    assert readings[-1]["source"].startswith("v4l2://"), readings[-1]
    return f"{took:.0f} s after the driver came: {unit('StatusText')['StatusText']}"


def it_runs_as_nobody_special() -> str:
    pid = unit("MainPID")["MainPID"]
    about = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    uid = int(about["Uid"].split()[0])
    assert 61184 <= uid <= 65519, uid  # DynamicUser's range
    assert about["Groups"].split() == ["44", str(uid)] or "44" in about["Groups"].split(), about["Groups"]
    assert int(about["CapEff"], 16) == 0
    assert (about["NoNewPrivs"], about["Seccomp"]) == ("1", "2")
    return f"uid {uid}, groups {about['Groups'].strip()}, no capability, seccomp filter"


def status_shows_it() -> str:
    said = sh(EDGE, "service", "status")
    assert "active (running)" in said, said
    assert "Status: " in said, said
    return next(line.strip() for line in said.splitlines() if "Status: " in line)


def sighup_reloads() -> str:
    before, pid = cursor(), unit("MainPID")["MainPID"]
    CONFIG.write_text(CONFIG.read_text() + "\n[track]\nmin_face_px = 40\n")
    sh("systemctl", "reload", "fer-edge")
    until(lambda: "now in use: track.min_face_px" in journal(before), "the reload is said", 60)
    until(lambda: unit("ActiveState")["ActiveState"] == "active", "active again", 60)
    bad = cursor()
    CONFIG.write_text(CONFIG.read_text() + "min_fce_px = 40\n")
    sh("systemctl", "reload", "fer-edge")
    until(lambda: "going on as before" in journal(bad), "a mistake is said", 60)
    assert unit("MainPID", "NRestarts") == {"MainPID": pid, "NRestarts": "0"}
    return next(line for line in journal(before).splitlines() if "now in use" in line)


def a_token_is_in_a_file_and_not_in_the_journal() -> str:
    before = cursor()
    CONFIG.write_text(FACES)
    sh("systemctl", "restart", "fer-edge")
    until(running, "frames with faces")
    path = Path("/var/lib/fer-edge/web-token")
    token = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, oct(path.stat().st_mode)
    assert path.stat().st_uid != 0
    said = journal(before)
    assert f"(token: in {path})" in said, said
    assert token not in journal(), "the token is in the journal"

    def ask(headers: dict[str, str], place: str = "metrics") -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:8080/{place}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""

    assert ask({})[0] == 401
    status, metrics = ask({"Authorization": f"Bearer {token}"})
    assert status == 200
    info = next(line for line in metrics.splitlines() if line.startswith("fer_edge_build_info{"))
    assert 'model="hawqc_mbv2"' in info, info
    sh("systemctl", "restart", "fer-edge")
    until(running, "frames after a restart")
    assert path.read_text().strip() == token, "a restart made another token"
    return f"{path} of uid {path.stat().st_uid}; {info}"


def a_process_that_hangs_is_restarted() -> str:
    before, pid = cursor(), int(unit("MainPID")["MainPID"])
    os.kill(pid, signal.SIGSTOP)
    took = until(lambda: unit("NRestarts")["NRestarts"] == "1", "the watchdog restarts it", 150)
    until(running, "frames after the watchdog")
    assert int(unit("MainPID")["MainPID"]) != pid
    said = sh("journalctl", "--no-pager", "--output=cat", f"--after-cursor={before}")
    assert "Watchdog timeout" in said, said
    return f"restarted {took:.0f} s after it was stopped (WatchdogSec=30); " + next(
        line for line in said.splitlines() if "Watchdog timeout" in line
    )


def a_process_that_is_killed_is_restarted_and_loses_no_line() -> str:
    path = Path("/var/lib/fer-edge/readings.jsonl")
    n = path.read_bytes().count(b"\n")
    os.kill(int(unit("MainPID")["MainPID"]), signal.SIGKILL)
    took = until(lambda: unit("NRestarts")["NRestarts"] == "2", "it is restarted", 60)
    until(running, "frames after the kill")
    until(lambda: path.read_bytes().count(b"\n") > n, "lines after the kill")
    lines = path.read_text().splitlines()
    for line in lines[:-1]:
        assert json.loads(line)["schema"] == "fer-edge/reading/1"
    return f"restarted {took:.0f} s after the kill; {len(lines)} lines, all whole"


def its_exposure_is_small() -> str:
    said = sh("systemd-analyze", "security", "--no-pager", "--offline=true", str(UNIT))
    score = re.search(r"Overall exposure level for fer-edge\.service: ([\d.]+)", said)
    assert score, said[-500:]
    assert float(score[1]) <= 1.5, score[1]
    loaded = sh("systemd-analyze", "security", "--no-pager", "fer-edge")
    return f"offline {score[1]}; loaded: {loaded.strip().splitlines()[-1].strip()}"


def a_stop_is_clean() -> str:
    before = cursor()
    started = time.monotonic()
    sh("systemctl", "stop", "fer-edge")
    took = time.monotonic() - started
    assert unit("Result", "ActiveState") == {"Result": "success", "ActiveState": "inactive"}
    line = next(line for line in journal(before).splitlines() if "SIGTERM" in line)
    return f"{took:.1f} s: {line}"


def uninstalled_without_a_trace() -> str:
    sh("systemctl", "start", "fer-edge")
    said = sh(EDGE, "service", "uninstall")
    assert not UNIT.exists()
    assert unit("LoadState", "ActiveState") in (
        {"LoadState": "not-found", "ActiveState": "inactive"},
        {"LoadState": "masked", "ActiveState": "inactive"},
    ), unit("LoadState", "ActiveState")
    assert CONFIG.is_file()  # the user's
    sh("sh", str(ARCHIVE / "install.sh"), "--uninstall")
    assert not Path("/opt/fer-edge").exists()
    return said.strip()


print()  # the console's first line is begun already
check(systemd_is_the_first_process)
check(the_archive_installs_without_a_network, 900)
check(a_service_without_a_camera_is_ready_and_waits, 450)
check(waiting_feeds_the_watchdog)
check(a_camera_that_comes_is_taken)
check(it_runs_as_nobody_special)
check(status_shows_it)
check(sighup_reloads)
check(a_token_is_in_a_file_and_not_in_the_journal, 500)
check(a_process_that_hangs_is_restarted, 400)
check(a_process_that_is_killed_is_restarted_and_loses_no_line, 400)
check(its_exposure_is_small)
check(a_stop_is_clean)
check(uninstalled_without_a_trace, 450)
finish()
