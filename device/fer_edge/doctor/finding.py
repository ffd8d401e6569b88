"""What a check found: a level, one line, and for warn and fail what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """One check's result. A fail means that fer-edge does not work here as it is; a warn, that part of it will not.

    Raises:
        ValueError: a remedy without a problem, or a problem without a remedy.
    """

    level: Level
    name: str
    found: str
    remedy: str | None = None

    def __post_init__(self) -> None:
        if (self.level == "ok") != (self.remedy is None):
            raise ValueError(f"{self.name}: {self.level} with remedy {self.remedy!r}")


def ok(name: str, found: str) -> Finding:
    """All is well."""
    return Finding("ok", name, found)


def warn(name: str, found: str, remedy: str) -> Finding:
    """Works, but not all of it, or not as fast as it could."""
    return Finding("warn", name, found, remedy)


def fail(name: str, found: str, remedy: str) -> Finding:
    """Does not work as it is."""
    return Finding("fail", name, found, remedy)
