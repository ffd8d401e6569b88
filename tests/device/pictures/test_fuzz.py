"""Damaged manifests, configurations, readings and photos (``benchmarks/fuzz.py`` runs 10,000)."""

from __future__ import annotations

from fuzzing import fuzz, small_photo

from fer_edge.types import RgbImage


def test_damaged_input_is_read_or_refused_in_one_line(astronaut: RgbImage) -> None:
    outcome = fuzz(800, 11, small_photo(astronaut))
    assert outcome.failures == []
    assert outcome.cases == 800
    for kind in ("manifest", "reading", "config", "photo"):
        assert outcome.refused[kind] > 20, "the damage does not reach what it is meant for"
    assert outcome.read["photo"] > 5
