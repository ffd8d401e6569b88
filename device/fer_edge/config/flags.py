"""Every setting as a flag of ``fer-edge run``, with its help from the setting's own docstring."""

from __future__ import annotations

import argparse
import typing
from typing import Any

from fer_edge.config.settings import TABLES, Key, keys
from fer_edge.contract.names import utf8_uri

Flags = dict[str, dict[str, Any]]  # table -> key -> value, as in the file


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds every key as a flag, grouped by table; what was not given is absent from the namespace."""
    for table in TABLES:
        group = parser.add_argument_group(f"[{table}]")
        for key in keys():
            if key.table == table:
                _add_flag(group, key)


def given_flags(arguments: argparse.Namespace) -> Flags:
    """The flags that were given, as tables."""
    given: Flags = {}
    for key in keys():
        if hasattr(arguments, _dest(key)):
            given.setdefault(key.table, {})[key.name] = getattr(arguments, _dest(key))
    return given


def _dest(key: Key) -> str:
    return f"config_{key.table}_{key.name}"


def _add_flag(group: Any, key: Key) -> None:
    common: dict[str, Any] = {"dest": _dest(key), "default": argparse.SUPPRESS, "help": key.help.replace("%", "%%")}
    if key.type is bool:
        group.add_argument(f"--{key.flag}", action=argparse.BooleanOptionalAction, **common)
    elif typing.get_origin(key.type) is typing.Literal:
        group.add_argument(f"--{key.flag}", choices=typing.get_args(key.type), **common)
    elif typing.get_origin(key.type) is tuple:
        inner = typing.get_args(key.type)[0]
        group.add_argument(f"--{key.flag}", type=_list_of(inner), metavar="A,B,…", **common)
    else:
        metavar = {int: "N", float: "X"}.get(key.type, key.name.upper())
        read: Any = utf8_uri if (key.table, key.name) == ("source", "uri") else key.type
        group.add_argument(f"--{key.flag}", type=read, metavar=metavar, **common)


def _list_of(inner: Any) -> Any:
    def parse_list(text: str) -> list[Any]:
        try:
            return [inner(part) for part in text.split(",") if part]
        except ValueError:
            raise argparse.ArgumentTypeError(f"found {text!r}, expected values with commas between") from None

    return parse_list
