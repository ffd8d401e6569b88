"""A user's own folders (XDG Base Directory Specification): none without a home, never one below the working folder.

HOME may be unset (cron, containers, ``env -i``): then the account's own home counts, if it is there.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path


def home(environ: Mapping[str, str] | None = None) -> Path | None:
    """The user's home; None for an account without one."""
    named = (os.environ if environ is None else environ).get("HOME", "")
    if not named:
        try:
            named = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:  # a container's number without a name
            return None
    return Path(named) if os.path.isabs(named) and named != "/" and os.path.isdir(named) else None


def folder(variable: str, below_home: str, environ: Mapping[str, str] | None = None) -> Path | None:
    """Where the user's files of one kind are; None where there is no place for them.

    Args:
        variable: that names it, e.g. XDG_CACHE_HOME; a relative path in it is ignored, as the specification says.
        below_home: where it is without, e.g. ".cache".
        environ: this process' where None.
    """
    named = (os.environ if environ is None else environ).get(variable, "")
    if os.path.isabs(named):
        return Path(named)
    own = home(environ)
    return None if own is None else own / below_home
