"""What a setting may be, said where it is defined; all mistakes in a table are found at once.

A table of settings is a frozen dataclass that derives from ``Limited``: one that exists can be used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from fer_edge.contract.errors import SchemaError

Problem = tuple[str, str]  # the setting, and what is wrong with it
T = TypeVar("T", bound="Limited")


class Limited:
    """Base of a table of settings.

    Raises:
        SchemaError: the first of its ``problems``.
    """

    def __post_init__(self) -> None:
        for name, problem in problems(self):
            raise SchemaError(name, problem)

    def conflicts(self) -> Iterator[Problem]:
        """Settings, each right by itself, that do not go together."""
        yield from ()


def within(default: Any, low: float, high: float, unit: str = "") -> Any:
    """A field with a number (or None) from ``low`` to ``high``; an infinite ``high`` is no limit.

    Args:
        default: of the field.
        low: smallest that can be used.
        high: largest that can be used.
        unit: after the numbers in messages.
    """
    upper = "or more" if high == float("inf") else f"to {_number(high)}"
    expected = f"{_number(low)} {upper}{f' {unit}' if unit else ''}"

    def check(value: Any) -> str:
        fine = value is None or low <= value <= high  # false for nan too
        return "" if fine else f"found {_number(value)}, expected {expected}"

    return checked(default, check)


def checked(default: Any, check: Callable[[Any], str]) -> Any:
    """A field with a check of its own: what is wrong with a value, "" where nothing is."""
    return dataclasses.field(default=default, metadata={"check": check})


def problems(settings: Limited) -> list[Problem]:
    """All that is wrong: settings by themselves, in their order, then those that do not go together."""
    found: list[Problem] = []
    repaired = object.__new__(type(settings))
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]  # a dataclass derives from it
        value = getattr(settings, field.name)
        problem = field.metadata["check"](value) if "check" in field.metadata else ""
        if problem:
            found.append((field.name, problem))
        object.__setattr__(repaired, field.name, field.default if problem else value)
    wrong = {name for name, _ in found}
    return found + [(name, problem) for name, problem in repaired.conflicts() if name not in wrong]


def unchecked(cls: type[T], values: Mapping[str, Any]) -> T:
    """A table that may be wrong, to ask for its ``problems``: these values, else the defaults."""
    settings = object.__new__(cls)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # a dataclass derives from it
        object.__setattr__(settings, field.name, values.get(field.name, field.default))
    return settings


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
