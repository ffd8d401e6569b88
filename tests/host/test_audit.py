"""What ``make audit`` makes of pip-audit's answers: looking nothing up is no clean bill of health."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

FAULT = {"id": "PYSEC-2021-1", "fix_versions": ["1.22"], "aliases": [], "description": ""}


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", Path(__file__).parents[2] / "benchmarks" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answer(*rows: dict[str, object]) -> str:
    return json.dumps({"dependencies": rows, "fixes": []})


def test_nothing_found(audit: ModuleType) -> None:
    rows = [{"name": "six", "version": "1", "vulns": []}]
    assert audit.judge(answer(*rows), "", 1) == (["audit: 1 packages looked up, 0 known faults"], 0)


def test_a_fault_is_named_with_its_remedy(audit: ModuleType) -> None:
    lines, status = audit.judge(answer({"name": "numpy", "version": "1.21.0", "vulns": [FAULT]}), "", 1)
    assert status == 1
    assert lines[0] == "numpy 1.21.0: PYSEC-2021-1; mended in: 1.22"


def test_what_was_not_looked_up_is_an_error(audit: ModuleType) -> None:
    """pip-audit itself ends with 0 and "No known vulnerabilities found" where the index has no such document."""
    skipped = {"name": "six", "skip_reason": "Dependency not found on PyPI and could not be audited: six (1)"}
    fine = {"name": "a", "version": "1", "vulns": []}
    for text in (answer(fine, skipped), answer(fine), answer()):
        lines, status = audit.judge(text, "", 2)
        assert status == 2
        assert "could not be looked up" in lines[-1]
        assert "\n" not in lines[-1]


@pytest.mark.parametrize("output", ["", "Traceback", "{}", "[]"])
def test_no_answer_at_all(audit: ModuleType, output: str) -> None:
    lines, status = audit.judge(output, "Traceback\nConnectionError: Failed to resolve 'api.osv.dev'\n", 3)
    assert status == 2
    reason = "ConnectionError: Failed to resolve 'api.osv.dev'"
    assert lines == [f"audit: error: pip-audit reached no database ({reason}); expected a network"]


def test_every_pin_is_asked_for(audit: ModuleType) -> None:
    asked = audit.pins()
    assert {"numpy==1.26.4", "ml_dtypes==0.5.4"} <= set(asked)  # of the archives for Debian 12
    assert all(pin.count("==") == 1 for pin in asked)
