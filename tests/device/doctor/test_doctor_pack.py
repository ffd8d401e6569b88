"""``doctor --report``: complete enough to become a test, and nothing in it that is nobody's business."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import recorded_trees

from fer_edge.board import identify as board
from fer_edge.board.commands import recorded
from fer_edge.board.sensors import thermal_facts, throttle_facts
from fer_edge.doctor import pack
from fer_edge.profiler.power import find_probe

Edge = Callable[..., subprocess.CompletedProcess[str]]
OneLine = Callable[..., str]


@pytest.mark.parametrize(
    "name", ["pi5", "orin_nano_jp6", "nano_jp4", "power/agx_orin_jp6", "power/pi5", "power/pi4_ina219"]
)
def test_a_report_becomes_a_tree(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpacked again, the report's tree gives the same board, sensors and power as the machine did."""
    root = recorded_trees.unpack(name, tmp_path / "machine")
    pack.pack(tmp_path / "r.zip", "{}", root, recorded(root))
    monkeypatch.setattr(recorded_trees, "TREES", tmp_path / "reports")
    (tmp_path / "reports" / "sent").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "r.zip") as archive:
        (tmp_path / "reports" / "sent" / "tree.txt").write_bytes(archive.read("tree.txt"))
    again = recorded_trees.unpack("sent", tmp_path / "again")
    assert board.identify(again) == board.identify(root)
    assert board.cpu(again) == board.cpu(root)
    assert thermal_facts(again).zones_c == thermal_facts(root).zones_c
    assert throttle_facts(again, recorded(again)) == throttle_facts(root, recorded(root))
    before, after = find_probe(root, recorded(root)).probe, find_probe(again, recorded(again)).probe
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert after.read_w() == before.read_w()


def test_nothing_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = recorded_trees.unpack("pi4", tmp_path / "machine")
    cpuinfo = root / "proc/cpuinfo"
    cpuinfo.write_text(cpuinfo.read_text() + "\nSerial\t\t: 10000000deadbeef\n")
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/os-release").write_text("NAME=anna-desk\n")
    (root / "etc/hostname").write_text("anna-desk")
    monkeypatch.setattr(socket, "gethostname", lambda: "anna-desk")
    monkeypatch.setattr(pack.getpass, "getuser", lambda: "anna")
    monkeypatch.setenv("HOME", "/home/anna")
    found = '{"x": "/home/anna/photos on anna-desk, annatto", "mac": "dc:a6:32:01:02:03"}'
    pack.pack(tmp_path / "r.zip", found, root, recorded(root))
    with zipfile.ZipFile(tmp_path / "r.zip") as archive:
        names = set(archive.namelist())
        texts = "\n".join(archive.read(name).decode() for name in names)
    assert names <= {"doctor.json", "tree.txt", "packages.txt", "tune.json", "README.txt"}
    for private in ("deadbeef", "anna-desk", "/home/anna", "dc:a6"):
        assert private not in texts
    assert "annatto" in texts  # words that only begin like a name stay
    assert not re.search(r"\banna\b", texts)


def test_the_command(edge: Edge, tmp_path: Path, one_line: OneLine) -> None:
    done = edge("doctor", "--json", "--report", tmp_path / "r.zip")
    with zipfile.ZipFile(tmp_path / "r.zip") as archive:
        assert json.loads(archive.read("doctor.json"))["schema"] == "fer-edge/doctor/1"
        assert "numpy" in archive.read("packages.txt").decode()
        assert "proc/cpuinfo\t" in archive.read("tree.txt").decode()
    assert json.loads(done.stdout)["schema"] == "fer-edge/doctor/1"
    assert "look into it" in done.stderr
    assert edge("doctor", "--report", "/nowhere/r.zip").returncode == 2
    assert edge("doctor", "--report", tmp_path / "r.tar").returncode == 2
