"""``fer-edge config``: checks a configuration, or shows the one that is in effect."""

from __future__ import annotations

import argparse

from fer_edge import config
from fer_edge.errors import UsageError


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; gives the exit status."""
    flags = config.given_flags(arguments)
    configuration, file = config.load(arguments.file, flags)
    if arguments.action == "show":
        print(
            f"# {file or 'no file: the defaults'}{' and flags' if flags else ''}\n{config.as_toml(configuration)}",
            end="",
        )
    elif file is None:
        places = ", ".join(map(str, config.default_files()))
        raise UsageError(f"config check: no file; expected FILE, or one of {places}")
    else:
        print(f"{file}: no mistake found")
    return 0
