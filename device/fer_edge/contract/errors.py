"""The root of fer-edge's exceptions and those that the contract raises; ``fer_edge.errors`` draws the whole tree."""

from __future__ import annotations

from fer_edge.contract.bounds import MESSAGE_CHARS as LONGEST
from fer_edge.contract.redact import redacted


class EdgeError(Exception):
    """Base of every error a user can cause: one line that says what, found, expected, remedy.

    Text of the user's that is very long is shown with its middle left out, line breaks and the like as escapes, and
    the login of a URL not at all.
    """

    def __str__(self) -> str:
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in redacted(super().__str__()))
        return text if len(text) <= LONGEST else f"{text[: LONGEST * 2 // 3]} … {text[-LONGEST // 4 :]}"


class SchemaError(EdgeError, ValueError):
    """A JSON document that does not decode; the message starts with the field's path."""

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        super().__init__(f"{path}: {problem}")


class BundleError(EdgeError, ValueError):
    """A bundle that is absent, incomplete, damaged, or not meant for this device."""


class LandmarkError(EdgeError, ValueError):
    """Landmarks from which no crop can be cut (coincident, or one missing)."""
