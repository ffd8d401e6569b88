"""The TOML file: found, read and decoded strictly (no key is ignored, mistakes name their line), overruled by flags."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fer_edge.config.flags import Flags
from fer_edge.config.settings import TABLES, Config, described, keys
from fer_edge.contract import codec
from fer_edge.contract.errors import SchemaError
from fer_edge.errors import ConfigError

MAX_BYTES = 1_000_000


def default_files() -> tuple[Path, ...]:
    """Where a file is looked for if none is named; the first that is there is read."""
    home = os.environ.get("XDG_CONFIG_HOME") or (f"{os.environ['HOME']}/.config" if os.environ.get("HOME") else "")
    system = Path("/etc/fer-edge/config.toml")
    return (system, Path(home, "fer-edge/config.toml")) if home else (system,)


def load(path: Path | None, flags: Flags | None = None) -> tuple[Config, Path | None]:
    """The configuration: the file, overruled by flags; and which file that was.

    Args:
        path: the file; None takes the first of ``default_files`` that is there.
        flags: see ``given_flags``.

    Raises:
        ConfigError: the file cannot be read, or a key or value in it is wrong; says the line.
    """
    if path is None:
        path = next((file for file in default_files() if file.is_file()), None)
    tables: dict[str, Any] = {} if path is None else read_file(path)
    if path is not None and not flags:
        return decode(tables), path
    from_file = json.dumps(tables)
    for table, values in (flags or {}).items():
        tables[table] = {**_without_rivals(table, tables.get(table, {}), values), **values}
    try:
        return decode(tables), path
    except ConfigError as error:
        origin = "flags" if json.loads(from_file) == {} else f"flags with {path}"
        raise ConfigError(f"{origin}: {error}") from error


def read_file(path: Path) -> dict[str, Any]:
    """A TOML file whose keys and values are all known and right, as tables.

    Raises:
        ConfigError: with the line where it can be told.
    """
    try:
        content = path.read_bytes()[: MAX_BYTES + 1]
    except OSError as error:
        raise ConfigError(f"config {path}: {error.strerror}; expected a TOML file") from error
    tables = parse(content, str(path))
    try:
        decode(tables)
    except ConfigError as error:
        line = line_of(content.decode(), error.path)
        raise ConfigError(f"config {path}{f', line {line}' if line else ''}: {error}") from error
    return tables


def parse(content: bytes, name: str) -> dict[str, Any]:
    """TOML text as tables of plain values.

    Raises:
        ConfigError: not TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    if len(content) > MAX_BYTES:
        raise ConfigError(f"config {name}: more than {MAX_BYTES} bytes, expected a few lines of TOML")
    try:
        tables: dict[str, Any] = tomllib.loads(content.decode())
        return tables
    except UnicodeDecodeError as error:
        raise ConfigError(f"config {name}: byte {error.start} is no UTF-8; expected TOML text") from error
    except (ValueError, RecursionError) as error:  # tomllib's messages name the line
        raise ConfigError(f"config {name}: not valid TOML: {' '.join(str(error).split())}") from error


def decode(tables: dict[str, Any]) -> Config:
    """Tables to a ``Config``.

    Raises:
        ConfigError: an unknown key (with the nearest that there is), or a value of another type or range.
    """
    for table, values in tables.items():
        if table not in TABLES:
            raise _unknown(table, table, [*TABLES, *(key.name for key in keys())])
        if not isinstance(values, dict):
            raise ConfigError(f"{table}: found a value, expected a table, i.e. a line [{table}]", table)
        names = [item.name for item in dataclasses.fields(TABLES[table])]
        for name, value in values.items():
            if name not in names:
                raise _unknown(f"{table}.{name}", name, names)
            if not _is_plain(value):
                raise ConfigError(
                    f"{table}.{name}: found a {type(value).__name__}, expected a plain value", f"{table}.{name}"
                )
    try:
        return codec.decode(Config, tables, "config")
    except SchemaError as error:
        path = error.path.removeprefix("config.")
        raise ConfigError(f"{path}: {str(error).partition(': ')[2]}", path.partition("[")[0]) from error


def line_of(text: str, path: str) -> int | None:
    """The line of a TOML text where ``table`` or ``table.key`` is set; None where it is written some other way."""
    table, _, name = path.partition(".")
    here = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"""\s*\[\s*["']?([^\]"']*?)["']?\s*\]""", line)
        if header:
            here = header[1]
            if not name and here == table:
                return number
        found = re.match(r"""\s*["']?([\w.-]+)["']?\s*=""", line)
        if found and (f"{here}.{found[1]}" if here else found[1]) in (path, f"{table}.{name}"):
            return number
    return None


def as_toml(config: Config, with_help: bool = True) -> str:
    """The whole configuration as a file; keys without a value are comments."""
    lines: list[str] = []
    for table, cls in TABLES.items():
        lines += ["", f"[{table}]"]
        texts = described(cls)
        for item in dataclasses.fields(cls):
            value = codec.encode(getattr(getattr(config, table), item.name))
            comment = f"  # {texts[item.name]}" if with_help and item.name in texts else ""
            lines.append(f"# {item.name} ={comment}" if value is None else f"{item.name} = {_toml(value)}{comment}")
    return "\n".join(lines[1:]) + "\n"


def _without_rivals(table: str, values: Any, given: dict[str, Any]) -> dict[str, Any]:
    """``--source`` overrules a file's ``camera = true``, and ``--camera`` its ``uri``."""
    if not isinstance(values, dict):  # decode() refuses it
        return {}
    left: dict[str, Any] = dict(values)
    if table == "source" and "uri" in given:
        left.pop("camera", None)
    elif table == "source" and given.get("camera"):
        left.pop("uri", None)
    return left


def _unknown(path: str, name: str, known: Sequence[str]) -> ConfigError:
    near = difflib.get_close_matches(name, known, 1)
    elsewhere = [f"{key.table}.{key.name}" for key in keys() if key.name == name]
    if elsewhere:
        hint = f"did you mean {' or '.join(elsewhere)}?"
    elif near:
        hint = f"did you mean {near[0]!r}?"
    else:
        hint = f"expected one of {', '.join(dict.fromkeys(known))}"
    return ConfigError(f"{path}: unknown key; {hint}", path)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return isinstance(value, str | int | float | bool)


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
