"""An output that is an input, by the file itself: under another spelling, a link, a hard link, a redirection."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fer_edge.contract.outputs import clash


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"clip")
    return path


def names_of(clip: Path) -> list[Path | str]:
    link, hard = clip.with_name("link"), clip.with_name("hard")
    link.symlink_to(clip)
    os.link(clip, hard)
    return [clip, str(clip), link, hard, clip.parent / ".." / clip.parent.name / clip.name, os.path.relpath(clip)]


def test_every_name_of_an_input_is_seen(clip: Path) -> None:
    for name in names_of(clip):
        said = clash({"--jsonl": name}, [clip])
        assert said == f"--jsonl {name}: is {clip}, which is read; expected another file"
        assert clash({"--jsonl": clip}, [name])


def test_other_files_are_no_clash(clip: Path) -> None:
    other = clip.with_name("other")
    other.write_bytes(b"clip")  # the same content is another file
    assert clash({"--jsonl": other, "--csv": clip.with_name("new"), "--annotate": ""}, [clip, "", "/no/such"]) == ""


def test_two_outputs_in_one_file(clip: Path) -> None:
    for name in names_of(clip):
        assert "is the file of --jsonl as well" in clash({"--jsonl": clip, "--csv": name}, [])
    new = clip.with_name("new")
    assert clash({"--jsonl": new, "--csv": new.parent / "." / "new"}, [])
    assert clash({"--jsonl": "-", "--csv": "-"}, [])
    assert clash({"--jsonl": "/dev/null", "--csv": "/dev/null"}, []) == ""


def test_redirected_standard_output(clip: Path) -> None:
    """``fer-edge run --source clip.mp4 --jsonl - >> clip.mp4``."""
    code = "import sys, fer_edge.contract.outputs as o; sys.stderr.write(o.clash({'--jsonl': '-'}, sys.argv[1:]))"
    with clip.open("ab") as stdout:
        done = subprocess.run([sys.executable, "-c", code, clip], stdout=stdout, stderr=subprocess.PIPE, check=True)
    assert b"which is read" in done.stderr
    done = subprocess.run([sys.executable, "-c", code, clip], capture_output=True, check=True)
    assert done.stderr == b""


@pytest.mark.parametrize("program", ["fer_host", "fer_edge"])
def test_of_a_command_line(program: str, clip: Path) -> None:
    """What writes by ``--out`` reads nothing of that name; both programs ask before a command begins."""
    cli = pytest.importorskip(f"{program}.cli", reason=f"{program} is not installed here")
    lines = {
        "fer_host": ["kfold", "larn", "--data", str(clip), "--out", str(clip)],
        "fer_edge": ["bench", "--source", str(clip), "--out", str(clip)],
    }
    before = clip.read_bytes()
    problem = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda *words, **_: problem.append(" ".join(map(str, words))))
        assert cli.main(lines[program]) == 2
    assert f"--out {clip}: is {clip}, which is read" in " ".join(problem)
    assert clip.read_bytes() == before
