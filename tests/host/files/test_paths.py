"""One module knows where things are."""

from __future__ import annotations

import ast
from pathlib import Path

HOST = Path(__file__).parents[3] / "host" / "fer_host"
PLACES = {"build", "dist", ".cache"}


def named_places(source: str) -> list[str]:
    """Places that a module names as the first part of a path or divides a path by."""
    found = []
    for node in ast.walk(ast.parse(source)):
        parts: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Path":
            parts = list(node.args)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            parts = [node.left, node.right]
        for part in parts:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                first = part.value.split("/")[0]
                found += [part.value] if first in PLACES or first == ".." else []
    return found


def test_only_paths_names_places() -> None:
    found = {
        path.relative_to(HOST).as_posix(): places
        for path in sorted(HOST.rglob("*.py"))
        if (places := named_places(path.read_text(encoding="utf-8")))
    }
    assert found.pop("files/paths.py")
    assert found == {}


def test_a_planted_place_is_found() -> None:
    assert named_places('x = ROOT / "build" / "y"') == ["build"]
    assert named_places('x = Path("dist")') == ["dist"]
    assert named_places('x = Path("../shared/data")') == ["../shared/data"]
    assert named_places('ignore_patterns("build")') == []
