"""Events: which face came, which went, whose expression is another one. Pure functions of two frames' faces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from fer_edge.library.reading import Face, Reading

What = Literal["came", "went", "label"]
OnChange: TypeAlias = Callable[[What, Face, Reading], object]


def by_track(reading: Reading) -> dict[int, Face]:
    """The faces that have a number, by it."""
    return {face.track: face for face in reading.faces if face.track is not None}


def changes(before: Mapping[int, Face], now: Mapping[int, Face]) -> list[tuple[What, Face]]:
    """What happened from one frame to the next: first who went (as last seen), then who came, then other labels."""
    went: list[tuple[What, Face]] = [("went", face) for track, face in before.items() if track not in now]
    came: list[tuple[What, Face]] = [("came", face) for track, face in now.items() if track not in before]
    other: list[tuple[What, Face]] = [
        ("label", face) for track, face in now.items() if track in before and before[track].label != face.label
    ]
    return [*went, *came, *other]
