"""What is shown of a text that may hold a secret: logins and passwords in URLs are never printed.

``url`` is for a text that is one URL and nothing else, whose password may hold anything; ``redacted`` finds URLs in a
message, as the last guard of everything that is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Mark = Callable[[str], str]
_remembered: set[str] = set()
LOCAL = ("file", "images", "csi", "v4l2", "argus", "synthetic")  # an @ in these is part of a name
SHORTEST = 4  # of what is looked for in messages; less would be found in any word
EXAMPLE = "user:password@"  # in our own messages
_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*)(:/{1,2})(\S+)")
_WHOLE = re.compile(r"(?is)([a-z][a-z0-9+.-]*)(:/{1,2})(.+)")
_LOGIN = re.compile(r"(?s)[^/]*:[^@]*@[^/@]")  # of somebody who left the scheme out
_FIELD = re.compile(r"(?i)((?:pass|pwd|token|secret|auth|key)[^=&/?#\s]{0,8}=)(?!\*\*\*)([^&\s'\"/?#;,)]+)")


def url(text: str, mark: Mark = lambda _: "***") -> str:
    """A source or address as it may be shown.

    Args:
        text: the whole of it.
        mark: what to show in the place of what is hidden.
    """
    found = _WHOLE.fullmatch(text)
    if found:
        return _hidden(found, mark)
    if _LOGIN.match(text):
        return _before_at(text, mark)
    return text


def stars(hidden: str) -> str:
    """A mark that is as long as what it hides."""
    return "*" * len(hidden.encode("utf-8", "surrogateescape"))


def secrets(text: str) -> list[str]:
    """What ``url`` hides of a text, without names of users that have no password beside them."""
    found: list[str] = []

    def mark(hidden: str) -> str:
        if hidden != EXAMPLE[:-1] and (":" in hidden or f"{hidden}@" not in text):
            found.append(hidden)
        return ""

    url(text, mark)
    return found


def remember(text: str) -> None:
    """From now on, no message holds the ``secrets`` of this text, in whatever way it came apart."""
    _remembered.update(hidden for hidden in secrets(text) if len(hidden) >= SHORTEST)


def redacted(text: str) -> str:
    """A message without the logins and passwords of URLs in it."""
    for hidden in sorted(_remembered, key=len, reverse=True):
        text = text.replace(hidden, "***")
    return _URL.sub(lambda found: _hidden(found, lambda _: "***"), text)


def path(text: str) -> str:
    """The name of a secret's file as it may be shown: whoever put the secret itself there gave no path."""
    return text if "/" in text else "***"


def _hidden(found: re.Match[str], mark: Mark) -> str:
    scheme, slashes, rest = found.groups()
    if scheme.lower() in LOCAL or rest.startswith(EXAMPLE):
        return found[0]
    server = rest.partition("/")[0]
    if "@" in rest and ("@" in server or ":" in server):  # else it belongs to the path
        rest = _before_at(rest, mark)
    return scheme + slashes + _FIELD.sub(lambda field: field[1] + mark(field[2]), rest)


def _before_at(text: str, mark: Mark) -> str:
    login, _, host = text.rpartition("@")
    return f"{mark(login)}@{host}" if login != "***" else text
