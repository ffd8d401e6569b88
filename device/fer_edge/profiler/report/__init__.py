"""The same measurement for a terminal, a README, a browser and a program; the file's ending chooses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fer_edge.contract import bench as schema
from fer_edge.contract.bench import BenchDoc
from fer_edge.contract.whole import whole_file
from fer_edge.errors import UsageError
from fer_edge.profiler.report.html import as_html
from fer_edge.profiler.report.text import as_markdown, as_soak, as_table, computed_by

__all__ = ["as_html", "as_markdown", "as_soak", "as_table", "check_targets", "computed_by", "write", "write_text"]
SUFFIXES = (".json", ".md", ".html")


def check_targets(paths: Sequence[Path]) -> None:
    """Refuses what could not be written, before minutes of measuring.

    Raises:
        UsageError: another ending, or a folder that is not there.
    """
    for path in paths:
        if path.suffix not in SUFFIXES:
            raise UsageError(f"--out {path}: found the ending {path.suffix!r}, expected {', '.join(SUFFIXES)}")
        if not path.parent.is_dir():
            raise UsageError(f"--out {path}: no folder {path.parent}; expected one that is there")


def write(document: BenchDoc, path: Path) -> None:
    """Writes it as the ending says; the file is there whole or not at all."""
    if path.suffix == ".json":
        text = schema.dumps(document)
    else:
        text = as_markdown(document) if path.suffix == ".md" else as_html(document)
    write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Writes beside the target and renames."""
    with whole_file(path) as file:
        file.write_text(text, encoding="utf-8")
