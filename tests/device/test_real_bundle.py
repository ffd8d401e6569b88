"""The shipped bundle in the device's own environment: FER_TEST_BUNDLE (set by make test) or dist/hawqc_mbv2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Edge = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def real_bundle() -> Path:
    path = Path(os.environ.get("FER_TEST_BUNDLE") or Path(__file__).parents[2] / "dist" / "hawqc_mbv2")
    if not path.is_dir():
        pytest.skip(f"no bundle at {path}: run `make convert MODEL=hawqc_mbv2` or set FER_TEST_BUNDLE")
    return path


def test_golden_vectors(edge: Edge, real_bundle: Path) -> None:
    done = edge("verify", "--bundle", real_bundle)
    assert done.returncode == 0, done.stderr


def test_astronaut_is_one_happy_face(edge: Edge, real_bundle: Path, photo_path: Callable[[str], Path]) -> None:
    done = edge("image", photo_path("astronaut.png"), "--bundle", real_bundle, "--json")
    assert done.returncode == 0, done.stderr
    assert [face["label"] for face in json.loads(done.stdout)[0]["faces"]] == ["happiness"]


def test_grace_hopper_is_one_face(edge: Edge, real_bundle: Path, photo_path: Callable[[str], Path]) -> None:
    done = edge("image", photo_path("grace_hopper.jpg"), "--bundle", real_bundle, "--json")
    assert len(json.loads(done.stdout)[0]["faces"]) == 1


def test_a_clip_is_read_in_120_mb_without_host_packages(real_bundle: Path) -> None:
    code = (
        "import re, sys; from pathlib import Path; from fer_edge.cli import main;"
        "status = main(sys.argv[1:]);"
        "peak = int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]);"
        "print(status, peak, *sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'tensorflow', 'onnx'}))"
    )
    arguments = ["run", "--source", "synthetic://?n=60&width=1280&height=720", "--bundle", str(real_bundle)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    status, peak_kib, *host_packages = done.stdout.split()
    assert status == "0"
    assert int(peak_kib) <= 120 * 1024
    assert not host_packages
