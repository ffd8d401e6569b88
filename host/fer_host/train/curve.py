"""The learning curve of a run: one line per epoch, beside its resumable state."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

CURVE = "curve.jsonl"


@dataclass(frozen=True)
class Epoch:
    """One line of the learning curve; ``majority`` and ``fer7`` are the other protocols' accuracies, where known."""

    epoch: int
    size_px: int
    loss: float
    accuracy: float
    minutes: float
    majority: float | None = None
    fer7: float | None = None


def figures(line: Epoch) -> dict[str, float]:
    """An epoch's line without what does not apply."""
    return {name: value for name, value in dataclasses.asdict(line).items() if value is not None}


def read_curve(path: Path) -> list[Epoch]:
    """The learning curve written so far."""
    if not path.is_file():
        return []
    return [Epoch(**json.loads(line)) for line in path.read_text().splitlines()]
