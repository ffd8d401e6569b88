"""What a class' docstring says of its fields: help of settings, descriptions in a JSON Schema."""

from __future__ import annotations

import inspect
import re

_SECTION = re.compile(r"^(?:Args|Attributes):\n((?: {4}.*(?:\n|$)|\n)*)", re.MULTILINE)
_ENTRY = re.compile(r"^    (\w+): ", re.MULTILINE)


def described(cls: type[object]) -> dict[str, str]:
    """The ``Args:`` or ``Attributes:`` of a class' docstring: name to text, on one line."""
    section = _SECTION.search(inspect.cleandoc(cls.__doc__ or ""))  # Python 3.13 keeps no indentation itself
    parts = _ENTRY.split(section[1])[1:] if section else []
    return {name: " ".join(text.split()) for name, text in zip(parts[::2], parts[1::2], strict=True)}
