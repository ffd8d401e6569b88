"""Tables of a document's fields for the manual, from the docstring of the class that is the document."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def table(name: str) -> str:
    """One row per field that the class' docstring describes.

    Args:
        name: module and class, as ``device/fer_edge/contract/reading.py ReadingDoc``.

    Raises:
        ValueError: there is no such class, or it has a field that its docstring does not describe.
    """
    path, _, wanted = name.partition(" ")
    classes = [
        node
        for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == wanted
    ]
    if not classes:
        raise ValueError(f"{path}: no class {wanted}")
    fields = [node for node in classes[0].body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    described = _described(ast.get_docstring(classes[0]) or "")
    lines = ["| field | type | what it is |", "|---|---|---|"]
    for node in fields:
        field = ast.unparse(node.target)
        if field not in described:
            raise ValueError(f"{path}: {wanted}.{field} is not described in its docstring")
        lines.append(f"| `{field}` | {_kind(ast.unparse(node.annotation))} | {described[field]} |")
    return "\n".join(lines) + "\n"


def _described(docstring: str) -> dict[str, str]:
    _, _, attributes = docstring.partition("Attributes:\n")
    found: dict[str, str] = {}
    name = ""
    for line in attributes.splitlines():
        if match := re.match(r" {4}(\w+): (.*)", line):
            name, found[match[1]] = match[1], match[2]
        elif line.startswith(" " * 8) and name:
            found[name] += " " + line.strip()
    return {name: text.replace("``", "`").replace("|", "\\|") for name, text in found.items()}


def _kind(annotation: str) -> str:
    """As JSON has it."""
    plain = annotation.removesuffix(" | None")
    kinds = {"float": "number", "int": "whole number", "str": "text", "bool": "true or false"}
    if match := re.fullmatch(r"dict\[str, (.*)\]", plain):
        return f"{_kind(match[1])} by name"
    if match := re.fullmatch(r"tuple\[(\w+), \.\.\.\]", plain):
        return f"list of {match[1].removesuffix('Doc')}"
    if match := re.fullmatch(r"tuple\[(.*)\]", plain):
        parts = match[1].split(", ")
        return f"{len(parts)} {_kind(parts[0])}s"
    return kinds.get(plain, plain)
