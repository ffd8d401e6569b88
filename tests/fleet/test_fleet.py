"""Roll-outs to three simulated boards: real systemd, real sshd, the real archive; nothing of Ansible is replaced.

In the order of the file: each test begins with what the one before left on the boards.
"""

from __future__ import annotations

import json
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fleet_boards import Board, Fleet
from fleet_control import ANSIBLE, Control, Played, changed

from fer_host.pack import pack

SECRET = "correct horse battery staple"  # of the tests' own broker, which is not there
READINGS = "/var/lib/fer-edge/readings.jsonl"
CONFIG: dict[str, Any] = {
    "source": {"uri": "synthetic://?n=100000", "rate": 1.0},
    "jsonl": {"path": READINGS},
    "web": {"enabled": True, "address": "0.0.0.0", "token_file": "/etc/fer-edge/web-token"},
}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of who packs the archives."""
    path = tmp_path_factory.mktemp("key") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


@pytest.fixture(scope="module")
def later(archive: Path, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of another version, signed: its installer has one line more."""
    return changed(archive, tmp_path_factory.mktemp("later"), key, install_sh="\n# a later version\n")


@pytest.fixture(scope="module")
def control(three: Fleet, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Control:
    """Where Ansible runs; the secret is in a vault of its own."""
    folder = tmp_path_factory.mktemp("control")
    (folder / "password").write_text("of this run\n")
    (folder / "plain.yml").write_text(f"vault_web_token: {SECRET}\n")
    line = [ANSIBLE / "ansible-vault", "encrypt", "--vault-password-file", "password", "plain.yml"]
    subprocess.run(line, cwd=folder, check=True, capture_output=True)
    assert SECRET not in (folder / "plain.yml").read_text()
    variables = {
        "fer_edge_archive": str(archive),
        "fer_edge_config": CONFIG,
        "fer_edge_secrets": {"web-token": "{{ vault_web_token }}"},
        "fer_edge_first_reading_s": 240,
    }
    return Control(three, folder, variables)


def rollout(control: Control, *options: str, **variables: Any) -> Played:
    """A roll-out with the vault, one board at a time."""
    vault = ("--vault-password-file", "password", "-e", "@plain.yml")
    return control.play("rollout", *vault, *options, **{"fer_edge_serial": [1], **variables})


def status_of(fleet: Fleet, board: Board) -> str:
    return fleet.ssh(board, "systemctl show fer-edge --property=ActiveState,StatusText --value").stdout


def test_check_says_what_would_change_and_changes_nothing(control: Control) -> None:
    done = rollout(control, "--check", "--diff", fer_edge_serial=[3])
    assert done.status == 0, done.output
    assert done.what() == dict.fromkeys(("one", "two", "three"), "would change")
    for name, board in control.fleet.boards.items():
        assert done.recap[name]["changed"] == 4, done.output  # version, secret, configuration, service
        assert not (board.root / "opt/fer-edge").exists()
        assert not (board.root / "etc/fer-edge").exists()
        assert not (board.root / "var/lib/fer-edge-fleet").exists()
    assert '+uri = "synthetic://?n=100000"' in done.output
    assert SECRET not in done.output


def test_a_rollout_installs_configures_starts_and_waits_for_a_reading(control: Control) -> None:
    own = control.fleet.boards["three"].root / "etc/fer-edge/config.toml"
    own.parent.mkdir()
    own.write_text("# mine\n")
    done = rollout(control, "-vv", fer_edge_serial=[1, 2])
    assert done.status == 0, done.output
    assert done.what() == dict.fromkeys(("one", "two", "three"), "installed")
    assert SECRET not in done.output
    versions = {board.version() for board in control.fleet.boards.values()}
    assert len(versions) == 1
    assert versions == {row["after"] for row in done.table.values()}
    for board in control.fleet.boards.values():
        assert "frames per second" in status_of(control.fleet, board)
        secret = board.root / "etc/fer-edge/web-token"
        assert (secret.read_text(), stat.S_IMODE(secret.stat().st_mode)) == (SECRET + "\n", 0o600)
        assert not (board.root / "var/lib/fer-edge-fleet").exists()
        assert SECRET not in control.fleet.ssh(board, "journalctl --no-pager").stdout
        first = json.loads(control.fleet.ssh(board, f"head -n 1 {READINGS}").stdout)
        assert first["schema"] == "fer-edge/reading/1"
    assert [path.read_text() for path in own.parent.glob("config.toml.*~")] == ["# mine\n"]
    ids = {control.fleet.ssh(board, "cat /etc/machine-id").stdout for board in control.fleet.boards.values()}
    assert len(ids) == 3


def test_a_second_run_changes_nothing(control: Control) -> None:
    began = {name: started(control.fleet, board) for name, board in control.fleet.boards.items()}
    done = rollout(control, fer_edge_serial=[1, 2])
    assert done.status == 0, done.output
    assert {name: counts["changed"] for name, counts in done.recap.items()} == {"one": 0, "two": 0, "three": 0}
    assert done.what() == dict.fromkeys(("one", "two", "three"), "as it should be")
    assert {name: started(control.fleet, board) for name, board in control.fleet.boards.items()} == began


def started(fleet: Fleet, board: Board) -> str:
    """When the service's present process began."""
    return fleet.ssh(board, "systemctl show fer-edge --property=ExecMainStartTimestampMonotonic").stdout


def test_an_archive_for_another_machine_stops_it_before_any_board(control: Control, bundle: Path) -> None:
    other = pack(bundle, control.folder / "other", "pi-trixie", offline=False)
    control.hosts["three"] = {"fer_edge_archive": str(other)}
    try:
        done = rollout(control)
    finally:
        del control.hosts["three"]
    assert done.status != 0
    assert done.what() == {"one": "not reached", "two": "not reached", "three": "refused"}
    assert "archive for pi-trixie (Python 3.13 on aarch64), found Python 3.13 on x86_64" in done.table["three"]["why"]
    assert {name: counts["changed"] for name, counts in done.recap.items()} == {"one": 0, "two": 0, "three": 0}


def test_a_canary_that_does_not_read_gets_everything_back_and_stops_it(control: Control, later: Path) -> None:
    board = control.fleet.boards["one"]
    before = board.version()
    config = (board.root / "etc/fer-edge/config.toml").read_text()
    blind = {**CONFIG, "source": {"uri": "v4l2:///dev/video9", "wait": True}}  # it starts, and waits for ever
    done = rollout(
        control, fer_edge_archive=str(later), fer_edge_config=blind, fer_edge_first_reading_s=15, fer_edge_serial=[1, 2]
    )
    assert done.status == 2, done.output
    assert done.what() == {"one": "restored", "two": "not reached", "three": "not reached"}
    assert "first reading" in done.table["one"]["why"]
    assert {row["after"] for row in done.table.values()} == {before}
    assert {each.version() for each in control.fleet.boards.values()} == {before}
    assert (board.root / "etc/fer-edge/config.toml").read_text() == config
    assert (board.root / "etc/fer-edge/web-token").read_text() == SECRET + "\n"
    assert not (board.root / "var/lib/fer-edge-fleet").exists()
    wait_until(lambda: "frames per second" in status_of(control.fleet, board), 120)
    assert rollout(control).recap["one"]["changed"] == 0  # the board is as it was, to the last right


def wait_until(what: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, f"in vain for {seconds:g} s"
        time.sleep(1)


def test_a_board_that_is_off_stops_it_before_any_board(control: Control) -> None:
    control.fleet.cut(control.fleet.boards["two"])
    try:
        done = rollout(control)
    finally:
        control.fleet.join(control.fleet.boards["two"])
    assert done.status != 0, done.output
    assert done.what() == {"one": "not reached", "two": "does not answer", "three": "not reached"}
    assert done.table["one"]["after"] == control.fleet.boards["one"].version()
    assert {name: counts["changed"] for name, counts in done.recap.items()} == {"one": 0, "two": 0, "three": 0}


def test_a_network_that_goes_mid_way_stops_it_and_the_board_goes_back_by_itself(control: Control, later: Path) -> None:
    board = control.fleet.boards["one"]
    before = {name: each.version() for name, each in control.fleet.boards.items()}
    guard = board.root / "var/lib/fer-edge-fleet/restore.pid"

    def cut() -> None:
        wait_until(guard.exists, 600)
        control.fleet.cut(board)

    scissors = threading.Thread(target=cut, daemon=True)
    scissors.start()
    done = rollout(control, fer_edge_archive=str(later), fer_edge_unconfirmed_s=20)
    scissors.join(10)
    control.fleet.join(board)
    assert done.status != 0, done.output
    assert done.what() == {"one": "does not answer", "two": "not reached", "three": "not reached"}, done.output
    wait_until(lambda: not guard.exists(), 600)
    assert {name: each.version() for name, each in control.fleet.boards.items()} == before
    wait_until(lambda: "frames per second" in status_of(control.fleet, board), 120)
    assert rollout(control, "--limit", "one").recap["one"]["changed"] == 0


def test_a_full_disk_stops_it_and_the_rest_stay(control: Control, later: Path, key: Path) -> None:
    """/opt of board two holds one version, not two."""
    before = control.fleet.boards["two"].version()
    done = rollout(control, fer_edge_archive=str(later), fer_edge_signers=f"{key}.pub")
    assert done.status == 2, done.output
    assert done.what() == {"one": "updated", "two": "restored", "three": "not reached"}
    assert "MB free, expected at least" in done.table["two"]["why"]
    versions = {name: board.version() for name, board in control.fleet.boards.items()}
    assert versions == {"one": done.table["one"]["after"], "two": before, "three": before}
    assert versions["one"] != before
    for board in control.fleet.boards.values():
        wait_until(lambda board=board: "frames per second" in status_of(control.fleet, board), 120)


def test_only_a_signed_archive_is_taken(control: Control, archive: Path, later: Path, tmp_path: Path) -> None:
    """That a signed one is: the test before."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    signers = str(tmp_path / "other.pub")
    done = rollout(control, "--limit", "three", fer_edge_signers=signers)
    assert (done.status != 0, done.what()["three"]) == (True, "refused"), done.output
    assert "not signed" in done.table["three"]["why"]
    done = rollout(control, "--limit", "three", fer_edge_signers=signers, fer_edge_archive=str(later))
    assert (done.status, done.what()["three"]) == (2, "failed, untouched"), done.output
    assert "Check the signature" in done.table["three"]["why"]


def test_rollback_goes_back_once(control: Control) -> None:
    first, second = control.fleet.boards["two"].version(), control.fleet.boards["one"].version()
    assert first != second
    would = control.play("rollback", "--check", "--limit", "one", rollback_to=first)
    assert (would.what()["one"], would.recap["one"]["changed"]) == ("would go back", 1)
    done = control.play("rollback", "--limit", "one", rollback_to=first)
    assert (done.status, done.what()["one"]) == (0, "went back"), done.output
    assert control.fleet.boards["one"].version() == first
    again = control.play("rollback", "--limit", "one", rollback_to=first)
    assert (again.status, again.recap["one"]["changed"]) == (0, 0), again.output
    none = control.play("rollback", "--limit", "two")
    assert none.status != 0
    assert "no earlier version is kept" in none.table["two"]["why"]


def test_doctor_and_bench_come_back(control: Control, tmp_path: Path) -> None:
    done = control.play("doctor", doctor_folder=str(tmp_path / "doctor"), doctor_stops_at="")
    assert done.status == 0, done.output
    for name in control.fleet.boards:
        assert json.loads((tmp_path / f"doctor/{name}.json").read_text())["schema"] == "fer-edge/doctor/1"
    done = control.play(
        "collect", "--limit", "one", collect_folder=str(tmp_path), collect_bench=["--n", "3", "--warmup", "1"]
    )
    assert done.status == 0, done.output
    assert json.loads((tmp_path / "one.json").read_text())["schema"].startswith("fer-edge/bench/")
    assert (
        "ActiveState=active"
        in control.fleet.ssh(control.fleet.boards["one"], "systemctl show fer-edge --property=ActiveState").stdout
    )


def test_uninstall_leaves_what_is_the_users(control: Control) -> None:
    board = control.fleet.boards["one"]
    (board.root / "etc/fer-edge/mine").write_text("a note\n")
    done = control.play("uninstall", "--limit", "one")
    assert (done.status, done.what()["one"]) == (0, "removed"), done.output
    assert not (board.root / "opt/fer-edge").exists()
    assert (board.root / "etc/fer-edge/config.toml").is_file()
    assert (board.root / "var/lib/fer-edge").exists()
    done = control.play(
        "uninstall", "--limit", "one", uninstall_configuration=True, fer_edge_secrets={"web-token": "any"}
    )
    assert done.status == 0, done.output
    assert [path.name for path in (board.root / "etc/fer-edge").iterdir()] == ["mine"]
    again = control.play("uninstall", "--limit", "one")
    assert (again.recap["one"]["changed"], again.what()["one"]) == (0, "as it should be")
