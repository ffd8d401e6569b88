"""Damaged clips of every container and codec (``benchmarks/fuzz_clips.py`` runs 2,000)."""

from __future__ import annotations

from pathlib import Path

from clip_fuzzing import fuzz
from made_clips import needs_ffmpeg

pytestmark = needs_ffmpeg


def test_damaged_clips_are_read_as_far_as_they_go_or_refused_in_one_line(tmp_path: Path) -> None:
    outcome = fuzz(150, 7, tmp_path)
    assert outcome.failures == []
    assert outcome.cases == 150
    assert outcome.read > 50
    assert outcome.refused > 5
    assert outcome.incomplete > 5
    assert outcome.peak_bytes < 1 << 30
