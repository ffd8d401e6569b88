"""Boards on one broker: each has ids of its own, by its machine id, and keeps them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fleet_helpers as fleet

SAY = """
import socket
from fer_edge.sinks.mqtt.identity import device_id
print(device_id(""), device_id("camera://1"), socket.gethostname())
"""


def said(folder: Path, name: str) -> list[str]:
    folder.mkdir()
    line = [*fleet.in_own_namespace(folder, name), sys.executable, "-c", SAY]
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout.split()


def test_boards_have_ids_of_their_own_and_keep_them(tmp_path: Path) -> None:
    told = [said(tmp_path / str(index), f"board{index}") for index in range(5)]
    assert [host for _, _, host in told] == [f"board{index}" for index in range(5)]
    assert len({number for first, second, _ in told for number in (first, second)}) == 10
    assert said(tmp_path / "again", "board3") == told[3]
