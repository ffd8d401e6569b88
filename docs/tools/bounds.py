"""Fills docs/bounds.md: every bound out of ``contract/bounds.py``, every thread out of ``program/background.py``.

``python docs/tools/bounds.py`` writes it; a test says where it is not up to date.
"""

from __future__ import annotations

import re
from pathlib import Path

from fer_edge.contract import bounds
from fer_edge.program.background import THREADS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "bounds.md"
HOW = {
    "guarded": "begins again after 1 s, then 2 s, to a minute; where it is dead all the same, the watchdog is not fed",
    "once": "who waits for its end hears of it",
    "library": "as said",
}


def filled(page: str) -> str:
    """The page with both tables as they are now."""
    for name, table in (("bounds", bounds_tables()), ("threads", threads_table())):
        begin, end = f"<!-- {name}: made by docs/tools/bounds.py -->\n", f"<!-- {name}: end -->\n"
        before, sign, rest = page.partition(begin)
        _, mark, after = rest.partition(end)
        if not (sign and mark):
            raise ValueError(f"{PAGE}: no place for {name}")
        page = before + sign + table + mark + after
    return page


def bounds_tables() -> str:
    """One table for each part of the module."""
    text = ""
    for line in Path(bounds.__file__).read_text(encoding="utf-8").splitlines():
        if line.startswith("# -- "):
            part = line.removeprefix("# -- ")
            text += f"\n### {part[0].upper()}{part[1:]}\n\n| name | at most | of what, and why |\n|---|---|---|\n"
        elif match := re.match(r"([A-Z][A-Z0-9_, ]+) = .*?  # (.*)", line):
            names = match[1].split(", ")
            values = ", ".join(_shown(name, getattr(bounds, name)) for name in names)
            reason = match[2].replace("|", "\\|")
            text += f"| {', '.join(f'`{name}`' for name in names)} | {values} | {reason} |\n"
    return text + "\n"


def _shown(name: str, value: object) -> str:
    unit = {"BYTES": "bytes", "S": "s", "PX": "px", "CHARS": "characters", "PIXELS": "px in all"}.get(
        name.rpartition("_")[2], ""
    )
    if isinstance(value, tuple):
        number = " to ".join(map(str, value))
    elif isinstance(value, int) and unit == "bytes" and value >= 1 << 20 and value % (1 << 20) == 0:
        number, unit = str(value >> 20), "MiB"
    elif isinstance(value, int):
        number = f"{value:,}"
    else:
        number = f"{value:g}"
    return f"{number} {unit}".strip()


def threads_table() -> str:
    """One row per kind of thread."""
    text = "\n| thread | started in | what it is for, and what its end does | an error |\n|---|---|---|---|\n"
    for row in THREADS:
        text += f"| `{row.name.strip()}` | `{row.file}` | {row.ends} | {HOW[row.kind]} |\n"
    return text + "\n"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
