"""Ansible as a user runs it, from a folder of its own, on simulated boards; and another version of an archive."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet_boards import PROJECT, Fleet

from fer_host.pack.signature import sign

ANSIBLE = PROJECT / ".venv-fleet/bin"
RECAP = ("ok", "changed", "unreachable", "failed", "skipped", "rescued", "ignored")


@dataclass(frozen=True)
class Played:
    """What a playbook did.

    Attributes:
        status: Ansible's; 0 where every board is well.
        output: everything it said.
        recap: counts by board, as Ansible names them.
        table: rows of the collection's table by board.
    """

    status: int
    output: str
    recap: dict[str, dict[str, int]]
    table: dict[str, dict[str, Any]]

    def what(self) -> dict[str, str]:
        """What came of each board."""
        return {name: row["what"] for name, row in self.table.items()}


@dataclass
class Control:
    """The machine that Ansible runs on: an inventory in a folder of its own."""

    fleet: Fleet
    folder: Path
    variables: dict[str, Any]
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def play(self, playbook: str, *options: str, timeout: float = 3600, **variables: Any) -> Played:
        """Runs a playbook of the collection on every board."""
        self.folder.mkdir(parents=True, exist_ok=True)
        common = " ".join(self.fleet.ssh_options()[2:])
        reached = {"ansible_user": "root", "ansible_ssh_private_key_file": str(self.fleet.key)}
        reached["ansible_ssh_common_args"] = common
        hosts = {
            name: {"ansible_host": board.address, **self.hosts.get(name, {})}
            for name, board in self.fleet.boards.items()
        }
        inventory = {"fer_edge": {"hosts": hosts, "vars": {**reached, **self.variables}}}
        (self.folder / "boards.json").write_text(json.dumps(inventory))
        table = self.folder / "table.json"
        table.unlink(missing_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment |= {
            "ANSIBLE_CONFIG": str(PROJECT / "device/fleet/ansible.cfg"), "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_NOCOLOR": "1", "FER_EDGE_FLEET_TABLE": str(table), "LC_ALL": "C.UTF-8",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.fleet.folder / "c"),
        }  # fmt: skip
        line = [*self.fleet.inside(), str(ANSIBLE / "ansible-playbook"), f"fer_edge.fleet.{playbook}"]
        line += ["-i", str(self.folder / "boards.json"), *options]
        if variables:
            line += ["-e", json.dumps(variables)]
        done = subprocess.run(
            line, capture_output=True, text=True, check=False, timeout=timeout, env=environment, cwd=self.folder
        )
        output = done.stdout + done.stderr
        return Played(done.returncode, output, _recap(output), _table(table))


def _recap(output: str) -> dict[str, dict[str, int]]:
    found = {}
    for line in output.partition("PLAY RECAP")[2].splitlines():
        name, colon, rest = line.partition(":")
        counts = dict(word.split("=") for word in rest.split() if "=" in word)
        if colon and set(RECAP) <= set(counts):
            found[name.strip()] = {key: int(counts[key]) for key in RECAP}
    return found


def _table(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    document = json.loads(path.read_text())
    assert document["schema"] == "fer-edge/fleet-table/1"
    return {row["board"]: row for row in document["boards"]}


def changed(archive: Path, folder: Path, key: Path | None = None, **files: str) -> Path:
    """Another version of an archive: ``install_sh=text`` is added to that file's end; its digests are right.

    With a key, it is signed.
    """
    work = folder / "unpacked"
    with tarfile.open(archive) as tar:
        tar.extractall(work, filter="data")
    top = next(work.iterdir())
    for name, text in files.items():
        path = top / name.replace("_sh", ".sh")
        path.write_text(path.read_text() + text)
    listed = [line[66:] for line in (top / "SHA256SUMS").read_text().splitlines()]
    done = subprocess.run(["sha256sum", *listed], cwd=top, capture_output=True, check=True)
    (top / "SHA256SUMS").write_bytes(done.stdout)
    if key is not None:
        sign(top / "SHA256SUMS", key)
    made = folder / f"{top.name}.tar.gz"
    names = sorted(path.relative_to(work) for path in work.rglob("*") if path.is_file())
    subprocess.run(["tar", "-I", "gzip -1", "-cf", made, *map(str, names)], cwd=work, check=True)
    shutil.rmtree(work)
    return made
