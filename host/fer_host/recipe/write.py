"""A recipe as the TOML text that ``load_recipe`` reads."""

from __future__ import annotations

import json
from typing import Any

from fer_edge.contract import codec
from fer_host.recipe.recipe import Recipe

_ADDED = ("own_labels", "sha256", "origin")  # by load_recipe
_EMPTY: tuple[object, ...] = ("", 0, [], None)


def recipe_toml(recipe: Recipe) -> str:
    """The recipe's text; a comment says nothing, so that whoever made it can put one before."""
    whole: dict[str, Any] = codec.encode(recipe)
    if recipe.own_labels:
        whole["labels"] = list(recipe.own_labels)
    whole = {key: value for key, value in whole.items() if key not in _ADDED and value not in _EMPTY}
    plain = {key: value for key, value in whole.items() if not _is_table(value)}
    lines = [f"{key} = {_value(value)}" for key, value in plain.items()]
    for key, value in whole.items():
        if isinstance(value, dict):
            lines += ["", f"[{key}]", *_fields(value)]
        elif _is_table(value):
            for each in value:
                lines += ["", f"[[{key}]]", *_fields(each)]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _fields(table: dict[str, Any]) -> list[str]:
    return [f"{key} = {_value(value)}" for key, value in table.items() if value is not None]


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def _key(name: str) -> str:
    return name if name.replace("_", "").isalnum() and name.isascii() else json.dumps(name, ensure_ascii=False)
