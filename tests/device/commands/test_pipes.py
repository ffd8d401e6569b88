"""What must be a regular file is opened as one: a pipe or a device is refused, and never waited for (fault S14)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_edge.contract.bundle import Bundle

Edge = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_every_file_that_is_named(kind: str, bundle: Bundle, edge: Edge, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    if kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to("/dev/zero")
    source = ("run", "--source", "synthetic://?n=1", "--bundle", bundle.path)
    damaged = Path(shutil.copytree(bundle.path, tmp_path / "damaged"))
    (damaged / "manifest.json").unlink()
    (damaged / "manifest.json").symlink_to(odd)
    probes = tmp_path / "probes"
    probes.mkdir()
    (probes / "probes.json").symlink_to(odd)
    lines: list[tuple[object, ...]] = [
        ("run", "--config", odd),
        ("config", "check", odd),
        (*source, "--mqtt-host", "h", "--mqtt-username", "u", "--mqtt-password-file", odd),
        (*source, "--web", "--web-token-file", odd),
        ("web", "--bundle", bundle.path, "--token-file", odd),
        ("run", "--source", "rtsp://u@h/x", "--bundle", bundle.path, "--source-password-file", odd),
        ("compare", odd, odd),
        ("info", "--bundle", damaged),
        ("bench", "--bundle", bundle.path, "--per-op", probes),
    ]
    for line in lines:
        done = edge(*line)
        assert done.returncode == 2, (line, done.stderr)
        assert len(done.stderr.splitlines()) == 1, (line, done.stderr)
        assert "Traceback" not in done.stderr


def test_what_tune_remembers_is_passed_over(bundle: Bundle, edge: Edge, tmp_path: Path) -> None:
    (tmp_path / "fer-edge").mkdir()
    os.mkfifo(tmp_path / "fer-edge/tune.json")
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    done = edge("run", "--source", "synthetic://?n=1", "--bundle", bundle.path, env=environ)
    assert done.returncode == 0, done.stderr
