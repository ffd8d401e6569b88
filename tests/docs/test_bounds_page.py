"""docs/bounds.md says what the program does."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bounds_tool", ROOT / "docs/tools/bounds.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_up_to_date() -> None:
    page = (ROOT / "docs/bounds.md").read_text(encoding="utf-8")
    assert tool().filled(page) == page, "run: .venv/bin/python docs/tools/bounds.py"


def test_a_page_without_a_place_is_said() -> None:
    with pytest.raises(ValueError, match="no place for bounds"):
        tool().filled("nothing")
