"""Fixtures of the sources' tests."""

from __future__ import annotations

import pytest
from clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """That of clips and of drawn faces."""
    found = Clock()
    for module in ("video_file", "synthetic"):
        monkeypatch.setattr(f"fer_edge.sources.{module}.time", found)
    return found
