"""mypy --strict on a user's program: the public types fit OpenCV's, and each public name is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import fer_edge

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "data" / "typed_user.py"


def mypy(program: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """As where fer-edge is installed: what it is made of is read and not judged."""
    config = folder / "mypy.ini"
    config.write_text(
        f"[mypy]\nstrict = True\nmypy_path = {ROOT / 'device'}\n[mypy-fer_edge.*]\nfollow_imports = silent\n"
    )
    line = [sys.executable, "-m", "mypy", "--config-file", str(config), "--cache-dir", str(folder / "cache")]
    return subprocess.run([*line, str(program)], capture_output=True, text=True, check=False)


def test_a_user_s_program_is_typed(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed: make creates .venv with it")
    text = PROGRAM.read_text(encoding="utf-8")
    assert [name for name in fer_edge.__all__ if f"fer_edge.{name}" not in text] == []
    done = mypy(PROGRAM, tmp_path)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        'import fer_edge\nreader = fer_edge.open_reader()\nreader.read("a.jpg", order="gbr")\nreader.reed("a.jpg")\n'
        'reader.read(3)\nlabel: int = reader.read("a.jpg").faces[0].label\n'
    )
    found = mypy(wrong, tmp_path).stdout
    assert [f"wrong.py:{line}: error" in found for line in (3, 4, 5, 6)] == [True] * 4, found
