"""The lines that the page on troubleshooting explains are lines of the programs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("device/fer_edge", "host/fer_host")


def test_each_line_is_one_that_a_program_prints() -> None:
    text = (ROOT / "device" / "install.sh").read_text() + (ROOT / "Makefile").read_text()
    text += "".join(path.read_text() for folder in SOURCES for path in (ROOT / folder).rglob("*.py"))
    joined = re.sub(r'"\s*\n\s*f?"', "", text)  # literals over several lines
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    rows = [row for row in re.findall(r"^\| (`[^|]*`) \|", page, flags=re.M) if row]
    assert len(rows) > 40
    wrong = [line for row in rows for line in re.findall(r"`([^`]+)`", row) if line not in text + joined]
    assert not wrong, "\n".join(wrong)
