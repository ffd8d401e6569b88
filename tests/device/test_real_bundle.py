"""The shipped bundle in the device's own environment: FER_TEST_BUNDLE (set by make test) or dist/hawqc_mbv2."""

from __future__ import annotations

import json
import os
import subprocess
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
