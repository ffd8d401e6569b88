"""What a recipe of the user's own names: files beside it, a pattern of file names, the line of a mistake in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fer_edge.contract.errors import SchemaError

WEIGHTS = (".safetensors", ".pt", ".pth")
_NAMES = ("network", "start", "teacher", "faces", "source")  # keys whose text may be a path
_PATH = re.compile(r".*(\.toml|\.safetensors|\.pt|\.pth|\.py:[A-Za-z_]\w*)", re.DOTALL)


def is_path(text: str) -> bool:
    """Whether a recipe's text is a file, or a class in one, and not a name of ours."""
    return _PATH.fullmatch(text) is not None


def with_places(data: Any, folder: Path) -> Any:
    """A recipe's table with the paths in it as they are seen from anywhere; they count from the recipe's folder."""
    if isinstance(data, list):
        return [with_places(each, folder) for each in data]
    if not isinstance(data, dict):
        return data
    return {
        key: str((folder / value).resolve())
        if key in _NAMES and isinstance(value, str) and is_path(value)
        else with_places(value, folder)
        for key, value in data.items()
    }


def check_pattern(text: str) -> None:
    """Refuses what is no regular expression with a group for the person; empty: none.

    Raises:
        SchemaError: at ``person``.
    """
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise SchemaError("person", f"found {text!r}, which is no regular expression ({error})") from error
    if text and not groups:
        raise SchemaError("person", rf"found {text!r}, expected a group around what names the person, e.g. ^(\d+)_")


def line_of(text: str, path: str) -> int | None:
    """The line of a TOML text that a field's path (``train[1].augment.flip_p``) leads to, as near as it goes."""
    lines, at, found = text.splitlines(), 0, None
    for part in path.split("."):
        name, *rest = re.findall(r"[A-Za-z_]\w*|\d+", part) or [""]
        wanted = re.compile(rf"\s*(\[\[?\s*([\w.]+\.)?{re.escape(name)}\s*\]|{re.escape(name)}\s*=)")
        hits = [i for i in range(at, len(lines)) if wanted.match(lines[i])]
        number = int(rest[0]) if rest else 0
        if len(hits) <= number:
            if found is not None and (inside := [i for i in range(at, len(lines)) if f"{name} =" in lines[i]]):
                return inside[0] + 1 if inside[0] == found else found + 1
            return None if found is None else found + 1
        found = at = hits[number] if lines[hits[number]].lstrip().startswith("[") else hits[0]
    return None if found is None else found + 1
