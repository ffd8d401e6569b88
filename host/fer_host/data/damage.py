"""What could not be read: each named once on stderr, and counted. Nothing of it ends a run."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from fer_host.errors import plain

_SHOWN = 20  # lines; a lost shard would be thousands
_named: dict[str, None] = {}


def name_unreadable(problems: Iterable[str], what_then: str) -> None:
    """Prints those that are new.

    Args:
        problems: each names its picture.
        what_then: what happens in its place.
    """
    for text in problems:
        if text in _named:
            continue
        _named[text] = None
        if len(_named) <= _SHOWN:
            print(f"data: {plain(text)}; {what_then}", file=sys.stderr, flush=True)
        if len(_named) == _SHOWN:
            print("data: further ones are counted, not named", file=sys.stderr, flush=True)


def n_unreadable() -> int:
    """How many this process has met."""
    return len(_named)
