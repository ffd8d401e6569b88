"""``fer-edge config``: checks a configuration, or shows the one that is in effect."""

from __future__ import annotations

import argparse

from fer_edge import config
from fer_edge.daemon import preflight
from fer_edge.errors import UsageError


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; gives the exit status."""
    flags = config.given_flags(arguments)
    if arguments.action == "show":
        configuration, file = config.load(arguments.file, flags)
        where = f"# {file or 'no file: the defaults'}{' and flags' if flags else ''}"
        print(f"{where}\n{config.as_toml(configuration)}", end="")
        return 0
    if arguments.file is None and not any(file.is_file() for file in config.default_files()):
        places = ", ".join(map(str, config.default_files()))
        raise UsageError(f"config check: no file; expected FILE, or one of {places}")
    file = preflight.load(arguments.file, flags).file
    print(f"{file}: no mistake found")
    return 0
