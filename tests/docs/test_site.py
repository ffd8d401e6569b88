"""The manual builds as a site without a warning: every page, link and anchor is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    found = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return folder


def test_every_page_is_in_the_site(site: Path) -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / page.with_suffix(".html").name).is_file(), page


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|link rel=\"(?:stylesheet|preconnect)\")[^>]*(?:src|href)=\"(https?://[^\"]+)",
            page.read_text(),
        )
        assert not loaded, page


def test_the_first_page_is_short_and_its_links_lead_somewhere() -> None:
    readme = (ROOT / "README.md").read_bytes()
    assert len(readme) <= 8000
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", readme.decode()):
        assert (ROOT / target).exists(), target


def test_each_page_begins_with_what_one_can_do_after_it() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        if page.name != "index.md":
            text = re.sub(r"\A(<!--[^\n]*-->\n+)+", "", page.read_text())
            title, _, first = text.split("\n", 3)[:3]
            assert title.startswith("# "), page
            assert first.startswith("After this page"), page
