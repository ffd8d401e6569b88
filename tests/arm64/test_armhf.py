"""32-bit Raspberry Pi OS 12: Debian's numpy and tflite-runtime compute the golden vectors; the installer refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from arm_roots import Root


def test_golden_vectors(armhf: Root, bundle: Path) -> None:
    done = armhf.edge("verify", "--variant", "int8", "--bundle", bundle, "--json", binds=[bundle], wheels="tflite")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["variants"]
    assert row["reference_max_abs"] == 0


def test_without_an_interpreter_one_line_says_so(armhf: Root, bundle: Path, refused: Callable[..., None]) -> None:
    refused(armhf.edge("verify", "--bundle", bundle, binds=[bundle], wheels="none"), "interpreter", "fer-edge doctor")


def test_installer_refuses(armhf: Root, archive: Path, tmp_path: Path, refused: Callable[..., None]) -> None:
    prefix = tmp_path / "installed"
    done = armhf.run("/bin/sh", archive / "install.sh", "--prefix", prefix, binds=[archive, tmp_path])
    refused(done, "32-bit", "install the 64-bit Raspberry Pi OS")
    assert not prefix.exists()
