"""Whole runs on clips as a phone or a recorder leaves them: the same faces and labels as in the upright, whole clip."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_clips import cut_in_half, encode, needs_ffmpeg, stored_as, with_matrix, with_zeroed_packet

from fer_edge.types import RgbImage

pytestmark = needs_ffmpeg
Edge = Callable[..., subprocess.CompletedProcess[str]]
N = 12


@pytest.fixture(scope="module")
def real_bundle() -> Path:
    path = Path(os.environ.get("FER_TEST_BUNDLE", "dist/hawqc_mbv2"))
    if not path.is_dir():
        pytest.skip(f"no bundle at {path}: run `make convert MODEL=hawqc_mbv2` or set FER_TEST_BUNDLE")
    return path


@pytest.fixture(scope="module")
def moving(astronaut: RgbImage) -> list[RgbImage]:
    """A face that drifts through a picture wider than high, so that every turn shows."""
    return [np.ascontiguousarray(astronaut[8 : 8 + 320, 20 + 2 * i : 20 + 2 * i + 400]) for i in range(N)]


@pytest.fixture
def run(edge: Edge, real_bundle: Path, tmp_path: Path) -> Callable[..., tuple[list[dict[str, Any]], str, int]]:
    """Readings, the last line on stderr and the exit status of ``fer-edge run`` on a source."""
    numbers = itertools.count()

    def read(source: object, *flags: object) -> tuple[list[dict[str, Any]], str, int]:
        out = tmp_path / f"{next(numbers)}.jsonl"
        done = edge("run", "--source", source, "--jsonl", out, "--bundle", real_bundle, *flags)
        assert len(done.stderr.splitlines()) == 1, done.stderr
        return [json.loads(line) for line in out.read_text().splitlines()], done.stderr, done.returncode

    return read


def iou(one: list[float], other: list[float]) -> float:
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = min(one[0] + one[2], other[0] + other[2]), min(one[1] + one[3], other[1] + other[3])
    shared = max(0.0, right - left) * max(0.0, bottom - top)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def assert_same_faces(found: list[dict[str, Any]], upright: list[dict[str, Any]]) -> None:
    by_index = {reading["frame_index"]: reading for reading in upright}
    for reading in found:
        expected = by_index[reading["frame_index"] % N]
        assert (reading["width"], reading["height"]) == (expected["width"], expected["height"])
        assert [face["label"] for face in reading["faces"]] == [face["label"] for face in expected["faces"]]
        for one, other in zip(reading["faces"], expected["faces"], strict=True):
            assert iou(one["box"], other["box"]) >= 0.9


@pytest.mark.parametrize(("codec", "suffix"), [("h264", "mp4"), ("hevc", "mp4"), ("mjpeg", "mov"), ("h264", "mov")])
def test_a_turned_clip_has_the_upright_ones_faces(
    run: Callable[..., Any], moving: list[RgbImage], tmp_path: Path, codec: str, suffix: str
) -> None:
    upright, _, status = run(encode(tmp_path / f"upright.{suffix}", moving, codec=codec, rate=5))
    assert status == 0
    assert [len(reading["faces"]) for reading in upright] == [1] * N
    for code in (3, 6, 8, 5) if codec == "h264" else (6,):
        stored = [stored_as(image, code) for image in moving]
        path = with_matrix(encode(tmp_path / f"{code}.{suffix}", stored, codec=codec, rate=5), code)
        turned, _, status = run(path)
        assert status == 0
        assert len(turned) == N
        assert_same_faces(turned, upright)
        if code == 6 and suffix == "mp4":
            looped, _, status = run(path, "--loop", "--max-frames", 2 * N)
            assert [reading["frame_index"] for reading in looped] == list(range(2 * N))
            assert_same_faces(looped[:N], upright)
            paced, _, status = run(path, "--realtime")
            assert len(paced) > N // 2
            assert_same_faces(paced, upright)


def test_a_cut_clip_is_named_and_ends_with_status_3(
    run: Callable[..., Any], moving: list[RgbImage], tmp_path: Path
) -> None:
    path = encode(tmp_path / "x.mov", moving, codec="mjpeg")
    readings, said, status = run(cut_in_half(path))
    assert status == 3
    assert 3 <= len(readings) <= 9
    assert "incomplete: cut off: the file ends at" in said
    assert f"of {N} announced frames never came" in said
    readings, said, status = run(with_zeroed_packet(encode(tmp_path / "y.mp4", moving, codec="hevc"), 5))
    assert status == 0
    assert len(readings) == N - 1
    assert "1 could not be decoded" in said
