"""The ``fer-host`` command. Heavy imports stay inside the commands' functions, so that ``--help`` answers at once."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fer_edge.contract import process
from fer_edge.contract.arguments import Parser
from fer_edge.contract.errors import EdgeError
from fer_edge.contract.outputs import clash_of
from fer_host import __version__
from fer_host.commands import compress, convert, data, train
from fer_host.errors import HostError

ERRORS = (HostError, EdgeError)  # that a user can cause


def main(argv: list[str] | None = None) -> int:
    """Runs one command; gives the exit status.

    Args:
        argv: the command line; None takes this process', and guards its streams and Ctrl-C as well.
    """
    if argv is None:
        return process.run("fer-host", lambda: _run_command(sys.argv[1:]), ERRORS)
    return process.status_of("fer-host", lambda: _run_command(argv), ERRORS)


def _run_command(line: list[str]) -> int:
    Parser.words = line
    arguments = _parser().parse_args(line)
    if problem := clash_of(arguments):
        raise HostError(problem)
    status: int = arguments.run(arguments)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="fer-host", description="Train, compress and convert FER networks.")
    parser.add_argument("--version", action="version", version=f"fer-host {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    for module in (convert, data, train, compress):
        module.add_commands(commands)
    pages = commands.add_parser("pages", help="write manual pages and shell completion of both programs")
    pages.add_argument("share", type=Path, metavar="DIR", help="such as ~/.local/share")
    pages.set_defaults(run=lambda arguments: _pages(arguments, parser))
    return parser


def _pages(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from fer_host.device_pipeline import device_parser
    from fer_host.pack.pages import write_pages

    for each in (device_parser(), parser):
        for path in write_pages(arguments.share, each, __version__):
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
