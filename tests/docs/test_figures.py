"""No measured number of the manual is typed by hand: each stands in a mark that docs/tools/figures.py fills."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
# Pages that say how good, fast or large something is. (papers.md quotes the papers, with their numbers.)
PAGES = ("README.md", "docs/index.md", "docs/measured.md", "docs/host.md", "docs/compress.md", "docs/privacy.md")
PAGES += ("docs/profile.md", "docs/photos.md", "docs/cameras.md", "docs/board.md", "docs/own-data.md")
MEASURED = re.compile(r"\d[\d.,]*(?: ?%| (?:ms|MB|kB|MiB|bytes|points|times|minutes|frames per second)\b)")
SETTINGS = {  # what the program is told, not what was measured
    "docs/profile.md": ("1%",),
    "docs/compress.md": ("4 points",),
    "docs/measured.md": ("70%", "95%"),
    "docs/board.md": ("600 MB",),
}


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("figures", ROOT / "docs" / "tools" / "figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["figures"] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    return module


def test_every_mark_is_up_to_date(figures: ModuleType) -> None:
    for page in figures.PAGES:
        text = page.read_text()
        assert figures.filled(text) == text, f"{page.name}: make docs-figures"


@pytest.mark.parametrize("page", PAGES)
def test_no_measured_number_is_typed_by_hand(figures: ModuleType, page: str) -> None:
    text = (ROOT / page).read_text()
    for mark in (figures.TABLE, figures.FIGURE):
        text = mark.sub("", text)
    text = re.sub(r"^```.*?^```$|`[^`]*`|<!--.*?-->", "", text, flags=re.M | re.S)
    found = [match[0] for match in MEASURED.finditer(text) if match[0] not in SETTINGS.get(page, ())]
    assert not found, f"{page}: {found}; mark them (see docs/tools/figures.py)"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("<!-- figure: zoo | nobody | int8 bytes --><!-- /figure -->", "found 0"),
        ("<!-- figure: zoo | fer48 | no such column --><!-- /figure -->", "found 0"),
        ("<!-- figure: no_such_result | fer48 | int8 bytes --><!-- /figure -->", "neither"),
        ("<!-- figure: zoo | fer48 --><!-- /figure -->", "expected RESULT"),
        ("<!-- table: zoo > No such section | model -->\n<!-- /table -->", "no such section"),
    ],
)
def test_a_mark_that_names_nothing_is_refused(figures: ModuleType, text: str, wrong: str) -> None:
    with pytest.raises(figures.FigureError, match=wrong):
        figures.filled(text)


def test_pictures_are_small() -> None:
    for picture in (ROOT / "docs" / "pictures").iterdir():
        assert picture.stat().st_size <= 150_000, picture
