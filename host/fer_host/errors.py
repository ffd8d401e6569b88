"""The exception tree of fer-host: every error a user can cause, doubling the builtin it specializes.

HostError
├── RecipeError (ValueError)      a recipe that is unknown, does not decode or cannot do what is asked
├── DataError (ValueError)        a data set or photo folder that cannot be used
├── WeightsError (ValueError)     weights that do not fit the network
├── GateError (ArithmeticError)   a conversion stage outside its parity or accuracy limit
├── TeamError (ConnectionError)   a process that trained with this one is gone
├── PackError (ValueError)        an archive that cannot be made for the target asked for
└── ToolError (RuntimeError)      a third-party converter that failed
"""

from __future__ import annotations


class HostError(Exception):
    """Base: the message is one line that says what, found, expected, remedy; escapes and line breaks are shown."""

    def __str__(self) -> str:
        return plain(super().__str__())


def plain(text: str) -> str:
    """A text of somebody else's for one line of a terminal: what does not print is shown as its escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class RecipeError(HostError, ValueError):
    """A recipe that is unknown, does not decode, or cannot be trained or pruned as asked."""


class DataError(HostError, ValueError):
    """A data set or photo folder that cannot be used."""


class WeightsError(HostError, ValueError):
    """Weights that do not fit the network they are loaded into."""


class GateError(HostError, ArithmeticError):
    """A stage's output is outside the limit that its gate sets."""


class TeamError(HostError, ConnectionError):
    """Another process of those that train together is gone, or cannot be reached."""


class PackError(HostError, ValueError):
    """An archive that cannot be made as asked: no such target, or wheels that do not fit it."""


class ToolError(HostError, RuntimeError):
    """A third-party converter failed; its own log is named in the message."""
