"""What the machine is (recorded trees)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import recorded_trees

from fer_edge.board import identify as board

MACHINES = {
    # board: model, SoC, family, cores, name of a core, int8 dot products
    "pi3": ("Raspberry Pi 3 Model B Plus Rev 1.3", "bcm2837", "raspberry-pi", 4, "Cortex-A53", False),
    "zero2w": ("Raspberry Pi Zero 2 W Rev 1.0", "bcm2837", "raspberry-pi", 4, "Cortex-A53", False),
    "pi4": ("Raspberry Pi 4 Model B Rev 1.4", "bcm2711", "raspberry-pi", 4, "Cortex-A72", False),
    "pi5": ("Raspberry Pi 5 Model B Rev 1.0", "bcm2712", "raspberry-pi", 4, "Cortex-A76", True),
    "nano_jp4": ("NVIDIA Jetson Nano Developer Kit", "tegra210", "jetson", 4, "Cortex-A57", False),
    "orin_nano_jp6": (
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        "tegra234",
        "jetson",
        6,
        "Cortex-A78AE",
        True,
    ),
    "pc": ("LENOVO 20XW0026GE", "", "pc", 8, "11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz", True),
}


def written(root: Path, **files: str) -> Path:
    """A tree of single files; "__" in a name stands for "/"."""
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_every_tree_is_listed_and_says_its_source() -> None:
    assert set(MACHINES) == set(recorded_trees.BOARDS)
    for name in MACHINES:
        assert (recorded_trees.TREES / name / "SOURCE").read_text().strip()


@pytest.mark.parametrize("name", MACHINES)
def test_machine(name: str, tmp_path: Path) -> None:
    root = recorded_trees.unpack(name, tmp_path)
    model, soc, family, n_cores, core, has_dot_products = MACHINES[name]
    assert board.identify(root) == board.Board(model, soc, family)  # type: ignore[arg-type]  # a Literal
    assert board.identify(root).is_known == (name != "pc")
    assert board.board_name(root) == model
    assert board.cpu(root) == board.Cpu(core, n_cores, has_dot_products)
    assert board.cpu_name(root) == core


def test_governor(tmp_path: Path) -> None:
    assert board.governor(recorded_trees.unpack("pi5", tmp_path / "pi5")) == "ondemand"
    assert board.governor(recorded_trees.unpack("orin_nano_jp6", tmp_path / "orin")) == "schedutil"
    assert board.governor(tmp_path) == "unknown"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"etc__nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 1"}, "L4T R36.4.3 (JetPack 6)"),
        ({"etc__nv_tegra_release": "# R32 (release), REVISION: 7.1, GCID: 1"}, "L4T R32.7.1 (JetPack 4)"),
        ({"etc__nv_tegra_release": "# R99 (release), REVISION: 0.0, GCID: 1"}, "L4T R99.0.0"),
        (
            {
                "var__lib__dpkg__status": "Package: nano\nVersion: 7.2\n\nPackage: nvidia-l4t-core\nStatus: ok\n"
                "Architecture: arm64\nVersion: 35.4.1-20230801124926\n\nPackage: zlib\nVersion: 1.2\n"
            },
            "L4T R35.4.1 (JetPack 5)",
        ),
        ({"var__lib__dpkg__status": "Package: nvidia-l4t-core\nStatus: x\n\nPackage: zlib\nVersion: 1.2\n"}, "None"),
        ({}, "None"),
    ],
)
def test_l4t(files: dict[str, str], expected: str, tmp_path: Path) -> None:
    assert str(board.l4t(written(tmp_path, **files))) == expected


def test_boards_that_are_not_known(tmp_path: Path) -> None:
    model = {
        "proc__device-tree__model": "Radxa ROCK 5B\0",
        "proc__device-tree__compatible": "radxa,rock-5b\0rockchip,rk3588\0",
    }
    rock = board.identify(written(tmp_path / "rock", **model))
    assert rock == board.Board("Radxa ROCK 5B", "rk3588", "unknown")
    assert not rock.is_known
    bare = tmp_path / "bare"
    assert board.board_name(bare).startswith("unknown")
    assert board.cpu(bare) == board.Cpu("unrecorded", 0, False)
    assert board.kernel_release(bare) == "unknown"


def test_this_process(tmp_path: Path) -> None:
    status = "Name:\tpython3\nVmPeak:\t  200000 kB\nVmHWM:\t   54321 kB\nVmRSS:\t   50000 kB\n"
    rollup = "5555-7fff ---p 00000000 00:00 0 [rollup]\nRss: 50000 kB\nPss:            48000 kB\nPss_Dirty: 1 kB\n"
    root = written(tmp_path, proc__self__status=status, proc__self__smaps_rollup=rollup)
    assert board.peak_rss_bytes(root) == 54321 * 1024
    assert board.pss_bytes(root) == 48000 * 1024
    assert board.peak_rss_bytes(tmp_path / "bare") == 0
    assert board.pss_bytes(tmp_path / "bare") is None
    assert board.peak_rss_bytes() > 5_000_000
    assert board.board_name()
    assert board.cpu().n_cores >= 1


def test_a_file_that_answers_eagain_is_as_good_as_absent(tmp_path: Path) -> None:
    """A powered-down sensor's read fails with EAGAIN; a pipe without data does the same. It must not block either."""
    pipe = tmp_path / "temp"
    os.mkfifo(pipe)
    keeps_it_open = os.open(pipe, os.O_RDWR)
    try:
        assert board.read_text(pipe) == ""
    finally:
        os.close(keeps_it_open)
    assert board.read_text(tmp_path) == ""
    assert board.read_text(tmp_path / "absent") == ""
