"""The ``fer-host`` command. Heavy imports stay inside the commands' functions, so that ``--help`` answers at once."""

from __future__ import annotations

import argparse
import io
import sys

from fer_edge.contract.errors import EdgeError
from fer_host import __version__
from fer_host.commands import compress, convert, train
from fer_host.errors import HostError


def main(argv: list[str] | None = None) -> int:
    """Runs one command; a user's error is one line on stderr and status 2, anything else keeps its traceback."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show "→" shows "?" instead of a traceback
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except (HostError, EdgeError) as error:
        print(f"fer-host: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a place that cannot be read or written; without a name it is a bug of ours
        if error.filename is None:
            raise
        print(f"fer-host: error: {error.filename}: {error.strerror}; expected a usable place", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fer-host: stopped", file=sys.stderr)
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fer-host", description="Train, compress and convert FER networks.")
    parser.add_argument("--version", action="version", version=f"fer-host {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    for module in (convert, train, compress):
        module.add_commands(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
