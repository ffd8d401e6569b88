"""Where in the picture faces are read: only here, or never there. Pure functions of a face's place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fer_edge.contract.bounds import ZONE_POINTS as MOST_POINTS
from fer_edge.contract.bounds import ZONES as MOST_ZONES
from fer_edge.contract.limits import Limited, checked

EXAMPLE = "counter=0.1:0.2 0.6:0.2 0.6:0.9 0.1:0.9"


@dataclass(frozen=True)
class Zone:
    """A polygon; points (x, y) are fractions of the picture's width and height, 0..1."""

    name: str
    points: tuple[tuple[float, float], ...]

    def holds(self, x: float, y: float) -> bool:
        """Whether a point (fractions of the picture) lies inside: a ray to the right crosses an odd number of sides."""
        inside = False
        for (x0, y0), (x1, y1) in zip(self.points, (*self.points[1:], self.points[0]), strict=True):
            if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
                inside = not inside
        return inside


def parse_zone(text: str) -> Zone:
    """A zone from ``name=x:y x:y x:y``.

    Raises:
        ValueError: says what was found and what is expected.
    """
    name, sign, rest = text.partition("=")
    name = name.strip()
    if not sign or not name or not name.isprintable() or len(name) > 64:
        raise ValueError(f"found {text!r}, expected a name and points such as {EXAMPLE!r}")
    points = []
    for word in rest.split():
        try:
            x, y = (float(part) for part in word.split(":"))
        except ValueError:
            raise ValueError(f"found the point {word!r} in zone {name!r}, expected x:y such as 0.1:0.2") from None
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise ValueError(f"found the point {word!r} in zone {name!r}, expected fractions of the picture, 0 to 1")
        points.append((x, y))
    if not 3 <= len(points) <= MOST_POINTS:
        raise ValueError(f"found {len(points)} points in zone {name!r}, expected 3 to {MOST_POINTS}")
    return Zone(name, tuple(points))


def _problem(texts: Sequence[str]) -> str:
    if len(texts) > MOST_ZONES:
        return f"found {len(texts)} zones, expected at most {MOST_ZONES}"
    try:
        names = [parse_zone(text).name for text in texts]
    except ValueError as error:
        return str(error)
    twice = next((name for name in names if names.count(name) > 1), None)
    return "" if twice is None else f"found the zone {twice!r} twice, expected each name once"


@dataclass(frozen=True)
class ZoneSettings(Limited):
    """The ``[zones]`` table: polygons as ``name=x:y x:y x:y``, in fractions of the upright picture from its upper left.

    Args:
        look: read faces only here; without any, everywhere.
        never: read no face here, also inside the others.
    """

    look: tuple[str, ...] = checked((), _problem)
    never: tuple[str, ...] = checked((), _problem)


@dataclass(frozen=True)
class Zones:
    """The polygons of a run."""

    look: tuple[Zone, ...] = ()
    never: tuple[Zone, ...] = ()

    @classmethod
    def of(cls, settings: ZoneSettings) -> Zones:
        """From their settings."""
        return cls(tuple(map(parse_zone, settings.look)), tuple(map(parse_zone, settings.never)))

    def place(self, box: tuple[float, float, float, float], image_hw: tuple[int, int]) -> tuple[bool, str | None]:
        """Whether a face is to be read, by the middle of its box, and the name of the zone that it is in.

        Args:
            box: x, y, width, height in px of the picture.
            image_hw: (height, width) of the picture in px.
        """
        x, y = (box[0] + box[2] / 2) / image_hw[1], (box[1] + box[3] / 2) / image_hw[0]
        if not (math.isfinite(x) and math.isfinite(y)) or any(zone.holds(x, y) for zone in self.never):
            return False, None
        found = next((zone.name for zone in self.look if zone.holds(x, y)), None)
        return found is not None or not self.look, found
