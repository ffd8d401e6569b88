"""A slice of damaged data sets and golden vectors; ``benchmarks/fuzz.py npz`` runs many (docs/fuzz.md)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "fuzz"))
from harness import STUCK_S, fuzz


def test_damaged_arrays_break_no_promise() -> None:
    done = fuzz("npz", 400, seed=11, hang_s=STUCK_S / 2)
    assert done.faults == []
    assert done.cases == 400
    for answer in ("read", "refused", "golden read", "golden refused"):
        assert done.answers[answer] >= 10, done.answers
