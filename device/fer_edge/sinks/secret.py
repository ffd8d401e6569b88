"""Secrets come from files: a command line is seen by every user of a machine."""

from __future__ import annotations

from pathlib import Path

from fer_edge.errors import UsageError


def first_line(path: str) -> str:
    """A secret's file, without its line end; "" for no file.

    Raises:
        UsageError: it cannot be read, or is empty.
    """
    if not path:
        return ""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not text"
        raise UsageError(f"secret {path}: {why}; expected a text file that this user can read") from error
    if not lines or not lines[0]:
        raise UsageError(f"secret {path}: its first line is empty; expected the secret")
    return lines[0]
