"""``fer-edge run`` writes over nothing that it reads (clip, photos, bundle, configuration, secrets) or writes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from fer_edge.contract.bundle import Bundle
from fer_edge.types import RgbImage

Edge = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def clip(tmp_path: Path, drawn: RgbImage) -> Path:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (640, 480))
    for _ in range(3):
        writer.write(drawn[:, :, ::-1])
    writer.release()
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("flag", ["--jsonl", "--csv"])
@pytest.mark.parametrize("name", ["itself", "link", "hard"])
def test_the_clip(clip: Path, flag: str, name: str, bundle: Bundle, edge: Edge, one_line: Any) -> None:
    target = clip if name == "itself" else clip.with_name(f"{name}.mp4")
    if name != "itself":
        (target.symlink_to if name == "link" else target.hardlink_to)(clip)
    before = digest(clip)
    done = edge("run", "--source", clip, flag, target, "--bundle", bundle.path)
    one_line(done, f"{flag} {target}: is {clip}, which is read; expected another file")
    assert digest(clip) == before
    assert sorted(clip.parent.iterdir()) == sorted({clip, target})


def test_redirected_to_the_clip(clip: Path, bundle: Bundle) -> None:
    before = digest(clip)
    command = [sys.executable, "-m", "fer_edge.cli", "run", "--source", clip, "--jsonl", "-", "--bundle", bundle.path]
    with clip.open("ab") as stdout:
        done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert f"--jsonl -: is {clip}, which is read" in done.stderr
    assert digest(clip) == before


def test_a_photo_of_the_folder(
    tmp_path: Path, photo_path: Callable[[str], Path], bundle: Bundle, edge: Edge, one_line: Any
) -> None:
    photo = tmp_path / "a.png"
    photo.write_bytes(photo_path("astronaut.png").read_bytes())
    source = ("run", "--source", f"images://{tmp_path}", "--bundle", bundle.path, "--tiles", "0")
    one_line(edge(*source, "--csv", photo), "which is read")
    assert photo.read_bytes() == photo_path("astronaut.png").read_bytes()
    for _ in range(2):  # a log beside the photos is no photo, the second time either
        done = edge(*source, "--jsonl", tmp_path / "log.jsonl")
        assert done.returncode == 0, done.stderr
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


def test_bundle_configuration_and_secrets(tmp_path: Path, bundle: Bundle, edge: Edge, one_line: Any) -> None:
    secret, file = tmp_path / "password", tmp_path / "c.toml"
    secret.write_text("secret\n")
    file.write_text(f'[mqtt]\nhost = "127.0.0.1"\nport = 9\npassword_file = "{secret}"\nusername = "u"\n')
    manifest = bundle.path / "manifest.json"
    for read in (manifest, file, secret):
        before = digest(read)
        target = tmp_path / f"hard-{read.name}"
        try:
            os.link(read, target)
        except OSError:  # another file system
            target = read
        done = edge("run", "--source", "synthetic://?n=1", "--config", file, "--jsonl", target, "--bundle", bundle.path)
        one_line(done, f"--jsonl {target}: is {read}, which is read")
        assert digest(read) == before


def test_two_outputs_in_one_file(tmp_path: Path, bundle: Bundle, edge: Edge, one_line: Any) -> None:
    out = tmp_path / "out"
    source = ("run", "--source", "synthetic://?n=1", "--bundle", bundle.path)
    one_line(edge(*source, "--jsonl", out, "--csv", f"{tmp_path}/./out"), "is the file of --jsonl as well")
    one_line(edge(*source, "--jsonl", "-", "--csv", "-"), "is the file of --jsonl as well")
    assert not out.exists()
