"""Damaged manifests, configurations, readings and photos (``benchmarks/fuzz.py`` runs 10,000)."""

from __future__ import annotations

from fuzzing import fuzz, small_photo
from picture_fuzzing import fuzz_pictures

from fer_edge.types import RgbImage


def test_damaged_input_is_read_or_refused_in_one_line(astronaut: RgbImage) -> None:
    outcome = fuzz(800, 11, small_photo(astronaut))
    assert outcome.failures == []
    assert outcome.cases == 800
    for kind in ("manifest", "reading", "config", "photo"):
        assert outcome.refused[kind] > 20, "the damage does not reach what it is meant for"
    assert outcome.read["photo"] > 5


def test_damaged_pictures_are_read_marked_or_refused_and_nothing_else_is_said(astronaut: RgbImage) -> None:
    """A slice of ``benchmarks/fuzz.py --pictures``, whose 10,000 take minutes."""
    outcome = fuzz_pictures(1300, 5, small_photo(astronaut))
    assert outcome.failures == []
    assert outcome.cases == 1300
    assert outcome.refused["gif"] > 20
    for kind in ("jpeg", "png", "webp", "tiff", "bmp"):
        assert outcome.refused[kind] > 5, "the damage does not reach what it is meant for"
        assert outcome.read[kind] > 2
    for kind in ("jpeg", "png", "webp"):
        assert outcome.read[f"{kind} damaged"] > 2
