"""Results are written twice: as a page for people, and its tables as JSON, from which the manual takes its figures."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

SCHEMA = "fer-edge/result/1"


def write(path: Path, text: str) -> None:
    """The page at ``path`` and its tables beside it, ``NAME.json``; each whole or not at all."""
    for target, content in ((path, text), (path.with_suffix(".json"), json.dumps(tables(text), indent=1) + "\n")):
        temporary = target.with_name(target.name + ".tmp")
        temporary.write_text(content, encoding="utf-8")
        temporary.replace(target)


def tables(text: str) -> dict[str, object]:
    """What a page's tables say.

    Args:
        text: Markdown.

    Returns:
        ``title``; ``tables``, each with its ``heading`` (that of the section), ``columns`` and ``rows``, cells as
        printed, with their unit.
    """
    title, heading, found, columns = "", "", [], []
    rows: list[list[str]] | None = None
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if rows is not None and not set(line) <= set("|-: "):
                rows.append(cells)
            elif rows is None:
                columns, rows = cells, []
                found.append({"heading": heading, "columns": columns, "rows": rows})
            continue
        rows = None
        if line.startswith("# "):
            title = line[2:]
        elif line.startswith("#"):
            heading = line.lstrip("# ")
    return {"schema": SCHEMA, "title": title, "tables": found}


def kept(path: Path, heading: str = "") -> dict[str, list[str]]:
    """Rows of an earlier result by their first cell: those of what is not measured again stay."""
    if not path.with_suffix(".json").is_file():
        return {}
    document = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return {row[0]: row for table in document["tables"] if table["heading"] == heading for row in table["rows"]}


if __name__ == "__main__":  # for pages that were written before
    for name in sys.argv[1:]:
        write(Path(name), Path(name).read_text(encoding="utf-8"))
