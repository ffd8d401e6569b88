"""Secrets come from files: a command line is seen by every user of a machine."""

from __future__ import annotations

import codecs
import os

from fer_edge.contract import bounds, redact
from fer_edge.contract.regular import read_regular
from fer_edge.errors import UsageError


def first_line(path: str, may_be_empty: bool = False) -> str:
    """A secret's file, without its line end; "" for no file. A mark of UTF-8 at the beginning is no part of it.

    Args:
        path: of a regular file, or in a service of the ``credential`` of its name; what could be waited for (a FIFO)
            or read for ever (a device) is refused.
        may_be_empty: take an empty first line as an empty secret; a file without any line is refused all the same.

    Raises:
        UsageError: it cannot be read, is no text, or is empty. Nothing of what is in it is said.
    """
    if not path:
        return ""
    try:
        text = _decoded(read_regular(credential(path) or path, bounds.SECRET_BYTES))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"secret {redact.path(path)}: {why}; expected a text file that this user can read") from None
    line, ended, _ = text.partition("\n")
    line = line.removesuffix("\r")
    if "\0" in line:
        raise UsageError(f"secret {redact.path(path)}: a zero byte in its first line; expected a text file")
    if not line and not (may_be_empty and ended):
        raise UsageError(f"secret {redact.path(path)}: its first line is empty; expected the secret")
    return line


def credential(path: str) -> str | None:
    """Where systemd put the secret of this name for its service (LoadCredential=); None where it did not.

    The same configuration then works for root, who reads the file itself, and in a service, which may not. An empty
    credential (a line end alone: the unit's default) is one whose file was not there when the service started.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    place = os.path.join(folder, os.path.basename(path))
    try:
        return place if folder and os.stat(place).st_size > 1 else None
    except OSError:
        return None


def _decoded(content: bytes) -> str:
    try:
        return content.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError:
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        raise ValueError("UTF-16, not UTF-8" if is_utf16 else "no UTF-8 text") from None
