"""The command line, which every user of a machine can read: passwords in it are hidden, and not repeated in errors."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from fer_edge.contract import redact

ARG_START, ARG_END = 48, 49  # fields of /proc/PID/stat (man 5 proc), from 1


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors hold no login of a URL, and name the nearest command or flag for a wrong one."""

    words: Sequence[str] = ()  # of the command line; one for the parser and those of its commands

    def error(self, message: str) -> NoReturn:
        """One line on stderr, and status 2."""
        for word in self.words:
            if redact.url(word) != word:
                message = message.replace(word, redact.url(word))
        self.exit(2, f"{self.prog}: error: {redact.redacted(message)}{self._hint(message)}; see {self.prog} --help\n")

    def _hint(self, message: str) -> str:
        flags = list(self._option_string_actions)
        if ": invalid choice: " in message:
            known = [str(name) for action in self._actions for name in (action.choices or ())]
            near = _nearest(message.partition(": invalid choice: '")[2].partition("'")[0], known)
        elif message.startswith("unrecognized arguments: "):
            wrong = message.removeprefix("unrecognized arguments: ").split()[0].partition("=")[0]
            near = _nearest(
                wrong, [*flags, *(flag for parser in self._parsers() for flag in parser._option_string_actions)]
            )
        elif message.startswith("the following arguments are required: "):  # said before a wrong flag is
            named = (word.partition("=")[0] for word in self.words if word.startswith("--") and word != "--")
            strange = [word for word in named if not any(flag.startswith(word) for flag in flags)]
            near = _nearest(strange[0], flags) if strange else ""
            near = near and f"{near} for {strange[0]}"
        else:
            return ""
        return f"; did you mean {near}?" if near else ""

    def _parsers(self) -> list[argparse.ArgumentParser]:
        """Of the command that was given; of all where none was."""
        found: dict[str, Any] = {}
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                found |= action.choices
        return [parser for name, parser in found.items() if name in self.words] or list(found.values())


def _nearest(wrong: str, known: Sequence[str]) -> str:
    import difflib  # takes longer than everything else here

    return next(iter(difflib.get_close_matches(wrong, known, 1)), "")


def hide(words: Sequence[str]) -> bool:
    """Overwrites logins of URLs in this process' own command line, as ``ps`` and /proc show it.

    They were to be seen until now, which is why a file is the better place.

    Args:
        words: of the command line.

    Returns:
        Whether there was one, hidden or not.
    """
    secret = [(word, redact.url(word, redact.stars)) for word in words if redact.secrets(word)]
    for word, _ in secret:
        redact.remember(word)
    if secret:
        with contextlib.suppress(OSError, ValueError, IndexError, ImportError):
            _overwrite({os.fsencode(word): os.fsencode(stars) for word, stars in secret})
    return bool(secret)


def _overwrite(words: dict[bytes, bytes]) -> None:
    import ctypes

    fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    start, end = (int(fields[number - 3]) for number in (ARG_START, ARG_END))
    if not 0 < end - start < 1 << 21:  # 0 where the kernel does not tell
        return
    content = ctypes.string_at(start, end - start)
    for word, stars in words.items():
        at = content.find(word)
        while at >= 0:
            ctypes.memmove(start + at, stars.ljust(len(word), b"*"), len(word))
            at = content.find(word, at + 1)
