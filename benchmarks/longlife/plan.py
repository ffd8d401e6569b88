"""What is done to the daemon, and when: pure, from the seconds since it reads frames."""

from __future__ import annotations

from dataclasses import dataclass

LOST_S = 20.0  # how long a loss lasts
BOUND_S = 45.0  # within which everything is back after it: the longest delay between two tries, and the try itself


@dataclass(frozen=True)
class Event:
    """Something that happens again and again.

    Attributes:
        name: of what happens.
        first_s: when it happens first.
        every_s: and again.
    """

    name: str
    first_s: float
    every_s: float


# One loss at a time, so that each is seen to be over; the first of each long before the warm-up ends.
LOSSES = (Event("broker", 30, 300), Event("camera", 105, 300), Event("clock", 180, 300), Event("disk", 210, 300))
MINUTELY = (Event("photo", 10, 60), Event("reload", 25, 60), Event("page", 40, 60))
JUMPS_S = (3600, 0, -7200, 0, 86_400 * 40, 0, -86_400 * 400, 0)  # of the wall clock, against the real one


def due(events: tuple[Event, ...], from_s: float, to_s: float) -> list[tuple[float, str]]:
    """When what happens, from ``from_s`` (inclusive) to ``to_s`` (exclusive), in order."""
    found = []
    for event in events:
        n = max(0, -int(-(from_s - event.first_s) // event.every_s))
        while (at_s := event.first_s + n * event.every_s) < to_s:
            found.append((at_s, event.name))
            n += 1
    return sorted(found)


def hurried(events: tuple[Event, ...], factor: float) -> tuple[Event, ...]:
    """The same, so many times as often, for a dry run."""
    return tuple(Event(e.name, e.first_s / factor, e.every_s / factor) for e in events)
