"""Manual pages and shell completion, made from the parsers: where a system looks for them, below a ``share`` folder."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from fer_host.errors import ToolError

# by shell: where its completions are looked for below share/, as a pattern for a program's name
PLACES = {
    "bash": "bash-completion/completions/{}",
    "zsh": "zsh/site-functions/_{}",
    "fish": "fish/vendor_completions.d/{}.fish",
}
MAN = "man/man1/{}.1"
_NO_MACRO = re.compile(r"^(?=['.](?![A-Za-z]{1,2}(\s|$)))", re.MULTILINE)  # a text such as ".json, .md or .html"


def write_pages(share: Path, parser: argparse.ArgumentParser, version: str) -> list[Path]:
    """Writes a program's manual page and its completion for bash, zsh and fish; the same parser gives the same bytes.

    Args:
        share: folder to write below, as /usr/local/share.
        parser: with all its commands.
        version: of the program.

    Returns:
        The files.

    Raises:
        ToolError: shtab or argparse-manpage is not installed.
    """
    try:
        import shtab
        from argparse_manpage.manpage import Manpage
    except ModuleNotFoundError as error:
        raise ToolError(f"{error.name}: not installed; expected the environment of `make .venv/.ready`") from error
    for each in _parsers(parser):
        _complete_files(each, shtab.FILE)
        each.formatter_class = _OneLine
    texts = {pattern: shtab.complete(parser, shell=shell) for shell, pattern in PLACES.items()}
    page = Manpage(parser)
    page.date, page.source, page.manual = "", f"{parser.prog} {version}", parser.prog
    page.description = (parser.description or "").rstrip(".")
    texts[MAN] = _NO_MACRO.sub(r"\\&", str(page))
    files = []
    for pattern, text in texts.items():
        path = share / pattern.format(parser.prog)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        files.append(path)
    return files


class _OneLine(argparse.HelpFormatter):
    """Each usage in one line, which the reader's own terminal folds."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=10_000)


def _parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """A parser and those of its commands."""
    found = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += action.choices.values()
    return found


def _complete_files(parser: argparse.ArgumentParser, files: object) -> None:
    """Values that are paths complete as the names of files; a flag's metavar tells, as does its type."""
    for action in parser._actions:
        said = str(action.metavar or "")
        if action.type is Path or any(word in said for word in ("FILE", "DIR", "FOLDER", "NPZ")):
            action.complete = files  # type: ignore[attr-defined]  # shtab's own way
