"""Where the web page's token comes from and who gets to see it: a terminal once, or a file of this user's. Never a log.

A new token that a terminal shows ends with the run. One in a file stays, so that a restart locks nobody out.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from fer_edge.contract import bounds, places
from fer_edge.contract.regular import read_regular
from fer_edge.contract.whole import whole_file
from fer_edge.errors import UsageError
from fer_edge.sinks.secret import first_line
from fer_edge.sinks.web.guard import LEAST_TOKEN, Token, is_own_address
from fer_edge.sinks.web.settings import WebSettings

NAME = "web-token"


def find_token(
    settings: WebSettings, environ: Mapping[str, str] | None = None, on_terminal: bool | None = None
) -> tuple[Token | None, Path | None]:
    """The token that visitors are asked for, and the file that has it.

    Args:
        settings: with the address; one of this machine alone needs no token.
        environ: has STATE_DIRECTORY under systemd.
        on_terminal: somebody sees what is written to stderr; None looks.

    Returns:
        (None, None) where none is asked for; (token, None) where ``show`` has to tell it.

    Raises:
        UsageError: a token's file that cannot be used, or no place for one.
    """
    if not settings.token_file and is_own_address(settings.address):
        return None, None
    if settings.token_file:
        return Token(first_line(settings.token_file)), Path(settings.token_file)
    environ = os.environ if environ is None else environ
    if on_terminal is None:
        on_terminal = sys.stderr.isatty()
    state = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if on_terminal and not state:
        return Token(), None
    own = places.folder("XDG_STATE_HOME", ".local/state", environ)
    if not state and own is None:
        raise UsageError("web: no terminal to show a token on, no place to keep one; give --web-token-file FILE")
    path = Path(state, NAME) if state else Path(own or "", "fer-edge", NAME)
    return _kept(path), path


def show(text: str) -> None:
    """Shows a line with a secret to the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


def _kept(path: Path) -> Token:
    """The token in a file that this user alone can read; a new one where there is none, or others could read it."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        about = path.lstat()
        if stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid() and not about.st_mode & 0o077:
            text = read_regular(str(path), bounds.SECRET_BYTES).decode("ascii").partition("\n")[0]
            if len(text) >= LEAST_TOKEN:
                return Token(text)
    token = Token()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with whole_file(path, 0o600) as file:
            file.write_text(f"{token.text}\n", encoding="ascii")
    except OSError as error:
        raise UsageError(f"web token {path}: {error.strerror}; expected a usable place, or --web-token-file") from error
    return token
