"""A slice of every kind that is fuzzed on the device; ``benchmarks/fuzz.py`` runs many (docs/fuzz.md)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))
from harness import KINDS, STUCK_S, fuzz

# cases, and how often an answer must have come at least, or the damage does not reach what it is meant for
SLICES = {
    "manifest": (1200, {"refused": 500, "read": 10, "info refused": 20}),
    "config": (300, {"refused": 100, "read": 20, "check refused": 1}),
    "documents": (500, {"refused": 200, "read": 20}),
    "pictures": (1000, {"jpeg read, damaged": 5, "png read, damaged": 5, "gif refused": 5, "bmp read": 5}),
    "http": (600, {"200": 5, "400": 80, "401": 40, "403": 3, "404": 10, "421": 5}),
    "mqtt": (400, {"answered": 100, "closed": 40}),
    "tflite": (150, {"refused": 60, "run": 20}),
    "clips": (120, {"read": 30, "refused": 10, "incomplete": 10}),
}  # fmt: skip


@pytest.mark.parametrize("kind", SLICES)
def test_damaged_input_breaks_no_promise(kind: str) -> None:
    if kind == "mqtt":
        pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed: pip install 'fer-edge[mqtt]'")
    if kind == "clips":
        from made_clips import FFMPEG

        if not FFMPEG:
            pytest.skip("no ffmpeg; apt install ffmpeg (tests/apt.txt)")
    n, expected = SLICES[kind]
    done = fuzz(kind, n, seed=11, hang_s=STUCK_S / 2)  # machines of tests are busy; by hand it is 10 s
    assert done.faults == []
    assert done.cases == n
    for answer, least in expected.items():
        assert done.answers[answer] >= least, done.answers


def test_all_kinds_of_the_device_have_a_slice() -> None:
    assert {kind for kind, about in KINDS.items() if not about.host} == set(SLICES)
