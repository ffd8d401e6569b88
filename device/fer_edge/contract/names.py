"""File names in documents: always valid text, and with a way back to names that are not UTF-8."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote_from_bytes

_ASCII = "".join(map(chr, range(33, 127)))
PLAIN_NAME = "letters, digits, '.', '_', '+' and '-', at most 64, a letter or digit first"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


def is_plain_name(text: str) -> bool:
    """Whether a name from a file may become part of a path: see ``PLAIN_NAME``."""
    return _PLAIN_NAME.fullmatch(text) is not None


def printable(name: str | Path) -> str:
    r"""A file's name or path as valid text: each byte that is not UTF-8 as ``\xe9``; ``name_bytes`` is the way back."""
    return _raw(name).decode("utf-8", "backslashreplace")


def shown(name: str | Path) -> str:
    """As ``printable``, on one line and without control characters: what a terminal may be given."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in printable(name))


def name_bytes(name: str | Path) -> str | None:
    """The percent-encoded bytes of a name that is not UTF-8 (``urllib.parse.unquote_to_bytes`` reads them); else None.

    Python holds such bytes as lone surrogates, which no JSON parser has to take.
    """
    raw = _raw(name)
    try:
        raw.decode()
    except UnicodeDecodeError:
        return quote_from_bytes(raw)
    return None


def utf8_uri(source: str) -> str:
    """The same source as valid text: of one that is not UTF-8, the bytes that are none are percent-encoded.

    A plain path becomes ``file://…``, in which percent signs count, so all of it is encoded.
    """
    if name_bytes(source) is None:
        return source
    scheme, mark, rest = source.partition("://")
    if not mark:
        return f"file://{quote_from_bytes(_raw(source))}"
    return f"{scheme}://{quote_from_bytes(_raw(rest), safe=_ASCII)}"


def _raw(name: str | Path) -> bytes:
    try:
        return str(name).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # surrogates that stand for no byte: no file's name, but somebody may type them
        return str(name).encode("utf-8", "surrogatepass")
