"""SECURITY.md promises nothing by a test that is not there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "SECURITY.md"


def test_what_it_names_is_there() -> None:
    text = PAGE.read_text()
    named = set(re.findall(r"(?<![\w.-])(?:tests|benchmarks|device|docs)/[\w/.-]*\w", text))
    assert len(named) > 15
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_anchors_lead_somewhere() -> None:
    for path, anchor in re.findall(r"\]\((docs/[\w.-]+)#([\w-]+)\)", PAGE.read_text()):
        titles = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in titles}, (path, anchor)
