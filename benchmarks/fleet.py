"""Rolls fer-edge out to twenty simulated boards with one command, and says what happened when, on which board.

python benchmarks/fleet.py dist/hawqc_mbv2 [--boards 20]   (root; `make fleet` first; writes results/fleet.md)

The boards are Debian userlands of systemd-nspawn on this machine (tests/fleet/fleet_boards.py): real systemd, sshd,
archive and service, drawn faces for a camera. They share this machine's processors, so the times say how Ansible's work
grows, not how long a board takes.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fleet"))
import fleet_boards as boards
from fleet_control import Control, Played, changed

from fer_host.pack import pack
from written import write

RESULTS = Path(__file__).parent / "results" / "fleet.md"
CONFIG: dict[str, Any] = {
    "source": {"uri": "synthetic://?n=1000000", "rate": 0.5},
    "jsonl": {"path": "/var/lib/fer-edge/readings.jsonl"},
}
BATCHES = [1, 5, "100%"]


class Runs:
    """Playbooks that were run, a line of the table each."""

    def __init__(self, control: Control) -> None:
        """Nothing was run yet."""
        self.control = control
        self.lines: list[str] = []

    def run(self, name: str, *options: str, **variables: Any) -> Played:
        """Runs the roll-out and notes what came of it."""
        began, used = time.monotonic(), cpu_s()
        done = self.control.play("rollout", *options, timeout=5400, **{"fer_edge_serial": BATCHES, **variables})
        took, used = time.monotonic() - began, cpu_s() - used
        counts: dict[str, int] = {}
        for what in done.what().values():
            counts[what] = counts.get(what, 0) + 1
        said = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        total = sum(row["changed"] for row in done.recap.values())
        line = f"| {name} | {said} | {total} | {done.status} | {took:.0f} | {used:.0f} |"
        print(line, flush=True)
        self.lines.append(line)
        log = self.control.folder.parent / f"fleet-{len(self.lines)}.log"
        log.write_text(done.output)
        return done


def cpu_s() -> float:
    """Processor time of the children that ended: Ansible's own, not the boards'."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds(done: Played) -> str:
    """The times of the boards of a roll-out: least, middle, most."""
    took = sorted(row["s"] for row in done.table.values() if row["s"] is not None)
    return f"{took[0]:.0f}, {took[len(took) // 2]:.0f}, {took[-1]:.0f}"


def main() -> None:
    """The whole benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--boards", type=int, default=20)
    arguments = parser.parse_args()
    names = {f"b{number:02}": 0 for number in range(1, arguments.boards + 1)}
    folder = boards.CACHE / "bench"
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=boards.CACHE) as scratch:
        archive = pack(arguments.bundle, Path(scratch), "x86-trixie", offline=True)
        archive_mb = archive.stat().st_size / 1e6
        later = changed(archive, Path(scratch) / "later", install_sh="\n# a later version\n")
        began = time.monotonic()
        with boards.fleet(folder, names, "flb-", "10.213.79") as fleet:
            boot_s = time.monotonic() - began
            print(f"{len(names)} boards booted in {boot_s:.0f} s", flush=True)
            variables = {
                "fer_edge_archive": str(archive),
                "fer_edge_config": CONFIG,
                "fer_edge_first_reading_s": 900,
                "fer_edge_unconfirmed_s": 3600,
            }
            runs = Runs(Control(fleet, Path(scratch) / "control", variables))
            runs.run("what would change (`--check`)", "--check")
            first = runs.run("one command")
            ids = {fleet.ssh(board, "cat /etc/machine-id").stdout for board in fleet.boards.values()}
            runs.run("the same again")
            blind = {**CONFIG, "source": {"uri": "v4l2:///dev/video9", "wait": True}}
            failed = runs.run(
                "a later version whose canary reads nothing", fer_edge_archive=str(later), fer_edge_config=blind,
                fer_edge_first_reading_s=30,
            )  # fmt: skip
            versions = {board.version() for board in fleet.boards.values()}
            runs.run("the first version again")
            why = failed.table["b01"]["why"]
        load = os.getloadavg()
    text = f"""# Twenty boards, one command

{len(names)} simulated boards (Debian trixie in systemd-nspawn, each with its own systemd, sshd, network and machine-id:
{len(ids)} different ones) on this machine's {os.cpu_count()} processors, which others used too (load {load[2]:.0f} over
15 minutes). Batches: 1, 5, the rest. The archive has {archive_mb:.0f} MB with every dependency.

| run | boards | tasks that changed something | status | s | s of Ansible's own processor time |
|---|---|---:|---:|---:|---:|
{chr(10).join(runs.lines)}

- A board took {seconds(first)} s (least, middle, most of the roll-out), with {len(names) - 6} of them at a time.
- The canary that read nothing said: {why}
- After it, {len(versions)} version was in use on all boards.
- The boards booted in {boot_s:.0f} s.
"""
    write(RESULTS, text)


if __name__ == "__main__":
    main()
