"""Fills the marked places of the manual with figures from ``benchmarks/results``; no measured number is typed by hand.

    python docs/tools/figures.py            fills README.md and docs/*.md
    python docs/tools/figures.py --check    says which marks are out of date; status 1

A mark names the result, the row (its first cells, or ``column=value``) and the column, with a format where the cell is
a bare number; "-" is a column without a name; a result's table may be chosen by the start of its section's heading:

    <!-- figure: zoo | fer48 | int8 bytes -->242,144<!-- /figure -->
    <!-- figure: robustness > fer48 | as it is | accuracy -->79.0%<!-- /figure -->
    <!-- figure: input_size | size_px=96 | accuracy : .1% -->83.5%<!-- /figure -->

    <!-- table: zoo | model | int8 bytes as bytes -->
    <!-- /table -->

A table of a document's fields comes from the docstring of its class:

    <!-- fields: device/fer_edge/contract/reading.py ReadingDoc -->
    <!-- /fields -->
"""

from __future__ import annotations

import functools
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import fields

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
FIGURE = re.compile(r"<!-- figure: (?P<key>.+?) -->(?P<text>.*?)<!-- /figure -->", re.DOTALL)
TABLE = re.compile(r"<!-- table: (?P<key>.*?) -->\n(?P<text>.*?)<!-- /table -->", re.DOTALL)
FIELDS = re.compile(r"<!-- fields: (?P<key>.*?) -->\n(?P<text>.*?)<!-- /fields -->", re.DOTALL)


class FigureError(ValueError):
    """A mark that names nothing."""


@dataclass(frozen=True)
class Table:
    """Cells as printed; of JSON lines and JSON rows, the values."""

    heading: str
    columns: list[str]
    rows: list[list[Any]]


def filled(text: str) -> str:
    """The page with every mark filled anew.

    Raises:
        FigureError: a mark names a result, row or column that is not there.
    """

    def figure(match: re.Match[str]) -> str:
        return f"<!-- figure: {match['key']} -->{_figure(match['key'])}<!-- /figure -->"

    def table(match: re.Match[str]) -> str:
        return f"<!-- table: {match['key']} -->\n\n{_table(match['key'])}\n<!-- /table -->"

    def fields_of(match: re.Match[str]) -> str:
        return f"<!-- fields: {match['key']} -->\n\n{fields.table(match['key'])}\n<!-- /fields -->"

    return FIELDS.sub(fields_of, TABLE.sub(table, FIGURE.sub(figure, text)))


def _figure(key: str) -> str:
    parts = [part.strip() for part in key.split(" | ")]
    if len(parts) != 3:
        raise FigureError(f"{key}: expected RESULT | ROW | COLUMN")
    name, row, column = parts
    column, _, spec = (part.strip() for part in column.partition(" : "))
    found = [
        (table, cells)
        for table in _chosen(name)
        for cells in table.rows
        if column in table.columns and _is(table, cells, row)
    ]
    if len(found) != 1:
        raise FigureError(f"{key}: found {len(found)} such cells, expected 1")
    table, cells = found[0]
    return _printed(cells[table.columns.index(column)], spec)


def _table(key: str) -> str:
    name, *wanted = [part.strip() for part in key.split(" | ")]
    fitting = [table for table in _chosen(name) if all(_column(each)[0] in table.columns for each in wanted)]
    if not fitting:
        raise FigureError(f"{key}: no table with these columns")
    table = fitting[0]
    columns = [_column(each) for each in wanted] or [(column, column, "") for column in table.columns]
    lines = ["| " + " | ".join(title for _, title, _ in columns) + " |", "|---" * len(columns) + "|"]
    for row in table.rows:
        cells = [_printed(row[table.columns.index(column)], spec) for column, _, spec in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _column(words: str) -> tuple[str, str, str]:
    words, _, spec = (part.strip() for part in words.partition(" : "))
    column, _, title = (part.strip() for part in words.partition(" as "))
    column = "" if column == "-" else column
    return column, title or column, spec


def _printed(cell: Any, spec: str) -> str:
    if spec:
        return format(float(str(cell).rstrip("%").replace(",", "")), spec)
    return "" if cell is None else str(cell)


def _is(table: Table, cells: list[Any], row: str) -> bool:
    if re.match(r"[\w.]+=", row):
        wanted = [part.strip().split("=", 1) for part in row.split(" & ")]
        return all(_bare(cells[table.columns.index(column)]) == value for column, value in wanted)
    wanted_cells = [part.strip() for part in row.split(" & ")]
    return [_bare(cell) for cell in cells[: len(wanted_cells)]] == wanted_cells


def _bare(cell: Any) -> str:
    return str(cell).strip("`*").removesuffix(" (default)")


def _chosen(name: str) -> list[Table]:
    result, _, heading = (part.strip() for part in name.partition(" > "))
    found = [table for table in tables(result) if table.heading == heading]
    found = found or [table for table in tables(result) if table.heading.startswith(heading)]
    if not found:
        raise FigureError(f"{name}: no such section in the result")
    return found


@functools.cache
def tables(name: str) -> list[Table]:
    """What ``NAME.json`` (tables of a page, or a document with ``rows`` or ``entries``) or ``NAME.jsonl`` holds."""
    for path in (RESULTS / f"{name}.json", RESULTS / f"{name}.jsonl"):
        if path.is_file():
            break
    else:
        raise FigureError(f"{name}: neither {name}.json nor {name}.jsonl in {RESULTS.relative_to(ROOT)}")
    if path.suffix == ".jsonl":
        return [_of_rows([json.loads(line) for line in path.read_text().splitlines() if line.strip()])]
    document = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(document, list):
        return [_of_rows(document)]
    if document.get("schema") == "fer-edge/result/1":
        return [Table(each["heading"], _numbered(each["columns"]), each["rows"]) for each in document["tables"]]
    return [_of_rows(document.get("rows") or document["entries"])]


def _numbered(columns: list[str]) -> list[str]:
    """A second column of one name is "name 2"."""
    return [name if columns[:i].count(name) == 0 else f"{name} 2" for i, name in enumerate(columns)]


def _of_rows(rows: list[dict[str, Any]]) -> Table:
    flat = [dict(_flat(row)) for row in rows]
    columns = list(dict.fromkeys(column for row in flat for column in row))
    return Table("", columns, [[row.get(column) for column in columns] for row in flat])


def _flat(document: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in document.items():
        pairs += _flat(value, f"{above}{key}.") if isinstance(value, dict) else [(above + key, value)]
    return pairs


def main() -> int:
    """Fills or checks every page."""
    old = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        try:
            new = filled(text)
        except ValueError as error:
            print(f"{page.relative_to(ROOT)}: {error}", file=sys.stderr)
            return 2
        if new != text:
            old.append(page.relative_to(ROOT))
            if "--check" not in sys.argv:
                page.write_text(new, encoding="utf-8")
    if "--check" in sys.argv and old:
        print(f"{', '.join(map(str, old))}: figures out of date; make docs-figures", file=sys.stderr)
        return 1
    print(f"filled: {', '.join(map(str, old)) or 'nothing had changed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
