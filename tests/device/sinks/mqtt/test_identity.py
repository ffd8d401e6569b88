"""Which instance is which: files and sources of one machine, copied cards, names for people."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fer_edge.sinks.mqtt.identity import board_number, device_id, host_of_mark, instance_key, new_mark, short_name


def machine(root: Path, machine_id: str = "0" * 31 + "1", serial: str = "") -> Path:
    """The files of a machine that tell which it is."""
    (root / "etc").mkdir(parents=True)
    (root / "etc/machine-id").write_text(machine_id + "\n")
    if serial:
        (root / "proc/device-tree").mkdir(parents=True)
        (root / "proc/device-tree/serial-number").write_text(serial + "\0")
    return root


def test_instances_differ_by_configuration_or_source(tmp_path: Path) -> None:
    keys = [
        instance_key("", None),
        instance_key("", Path("/etc/fer-edge/door.toml")),
        instance_key("", Path("/etc/fer-edge/hall.toml")),
        instance_key("v4l2:///dev/video0", None),
        instance_key("v4l2:///dev/video2", Path("/etc/fer-edge/hall.toml")),
        instance_key("rtsp://10.0.0.2/a", None),
        instance_key("rtsp://10.0.0.2/b", None),
    ]
    root = machine(tmp_path)
    ids = [device_id(key, root) for key in keys]
    assert len(set(ids)) == len(ids)
    for found in ids:
        assert re.fullmatch(r"fer_edge_[0-9a-f]{12}", found)
        assert len(found) <= 23  # what every broker takes (MQTT 3.1.1, 3.1.3.1)
    assert ids == [device_id(key, root) for key in keys]  # stable
    # another size or rate is the same camera; another file beside a source that was given is not asked
    assert instance_key("v4l2:///dev/video0?width=640&fps=5", None) == keys[3]
    assert instance_key("rtsp://10.0.0.2/a?channel=2", None) != keys[5]


def test_copied_cards_differ_by_the_board(tmp_path: Path) -> None:
    first = machine(tmp_path / "a", serial="10000000abcdef01")
    second = machine(tmp_path / "b", serial="10000000abcdef02")
    assert device_id("", first) != device_id("", second)
    assert device_id("", first) == device_id("", machine(tmp_path / "c", serial="10000000abcdef01"))


def test_boards_without_a_number_have_their_network_card(tmp_path: Path) -> None:
    for card, bus, made_up, address in (
        ("enp3s0", "pci", "0", "52:54:00:aa:bb:cc"),
        ("aaa0", "usb", "0", "52:54:00:11:22:33"),  # unplugged tomorrow
        ("bbb0", "pci", "1", "52:54:00:44:55:66"),  # another one at every start
    ):
        folder = tmp_path / "sys/class/net" / card
        folder.mkdir(parents=True)
        (tmp_path / "bus" / bus).mkdir(parents=True, exist_ok=True)
        (folder / "device").mkdir()
        (folder / "device/subsystem").symlink_to(tmp_path / "bus" / bus)
        (folder / "addr_assign_type").write_text(made_up + "\n")
        (folder / "address").write_text(address + "\n")
    (tmp_path / "sys/class/net/lo").mkdir()
    assert board_number(tmp_path) == "52:54:00:aa:bb:cc"
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    serial = tmp_path / "proc/device-tree/serial-number"
    serial.write_text("0000000000000000\0")  # a board whose maker wrote none
    assert board_number(tmp_path) == "52:54:00:aa:bb:cc"
    serial.write_text("1424720034567\0")
    assert board_number(tmp_path) == "1424720034567"
    assert board_number(tmp_path / "nothing") == ""


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("/etc/fer-edge/door.toml", "door"),
        ("v4l2:///dev/video2", "video2"),
        ("v4l2://usb:046d:0825", "usb:046d:0825"),
        ("rtsp://10.0.0.2/stream1", "10.0.0.2"),
        ("csi://0", "csi0"),
        ("camera://", "camera"),
        ("file:///home/a/clip.mp4", "clip"),
    ],
)
def test_names_for_people(key: str, name: str) -> None:
    assert short_name(key) == name


def test_ids_do_not_give_the_systems_own_away() -> None:
    own = Path("/etc/machine-id")
    assert device_id("") == device_id("")
    if own.is_file() and own.read_text().strip():
        assert own.read_text().strip()[:12] not in device_id("")


def test_marks_say_where_the_other_one_is_and_nothing_else() -> None:
    assert new_mark() != new_mark()
    assert host_of_mark(new_mark().encode())
    for bad in (b"", b"x" * 200, b"\xff\xfe-01234567", b"host\n-01234567", b"host\x1b[2J-01234567", b"host-0123"):
        assert host_of_mark(bad) == ""
