"""The TOML file: found, read and decoded strictly (no key is ignored, mistakes name their line), overruled by flags."""

from __future__ import annotations

import dataclasses
import errno
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_edge.config.flags import Flags
from fer_edge.config.settings import TABLES, Config, keys
from fer_edge.contract import codec, limits, places, redact
from fer_edge.contract.bounds import CONFIG_BYTES as MAX_BYTES
from fer_edge.contract.docstrings import described
from fer_edge.contract.errors import SchemaError
from fer_edge.contract.regular import read_regular
from fer_edge.errors import ConfigError


def default_files() -> tuple[Path, ...]:
    """Where a file is looked for if none is named; the first that is there is read."""
    own = places.folder("XDG_CONFIG_HOME", ".config")
    system = Path("/etc/fer-edge/config.toml")
    return (system,) if own is None else (system, own / "fer-edge/config.toml")


@dataclass(frozen=True)
class Loaded:
    """What a file and flags say.

    Args:
        config: with the defaults for a table that has something wrong.
        mistakes: all that is wrong in it, to be said with ``said``.
        overruled: what is wrong in the file alone, because a flag says something else.
        file: where it was read from; None for none.
        text: of the file.
        flags: that overrule it.
    """

    config: Config
    mistakes: tuple[ConfigError, ...]
    overruled: tuple[ConfigError, ...]
    file: Path | None
    text: str
    flags: Flags

    def said(self, more: Iterable[ConfigError] = ()) -> list[ConfigError]:
        """Mistakes with their place, in the order of the file and then of the flags.

        Args:
            more: mistakes that only the machine could tell; one in a key that is wrong already is left out.
        """
        wrong = {error.path for error in self.mistakes}
        placed = [self._placed(error) for error in (*self.mistakes, *(e for e in more if e.path not in wrong))]
        placed += [self._in_file(error) for error in self.overruled]
        return [error for _, error in sorted(placed, key=lambda pair: pair[0])]

    def _placed(self, error: ConfigError) -> tuple[int, ConfigError]:
        table, _, name = error.path.partition(".")
        if name and name in self.flags.get(table, {}):
            flag = next(key.flag for key in keys() if (key.table, key.name) == (table, name))
            return len(self.text), ConfigError(f"--{flag}: {error}", error.path)
        return (len(self.text), error) if self.file is None else self._in_file(error)

    def _in_file(self, error: ConfigError) -> tuple[int, ConfigError]:
        line = line_of(self.text, error.path) or line_of(self.text, error.path.partition(".")[0])
        place = f"config {self.file}{f', line {line}' if line else ''}"
        return line or len(self.text), ConfigError(f"{place}: {error}", error.path)


def load(path: Path | None, flags: Flags | None = None) -> tuple[Config, Path | None]:
    """The configuration: the file, overruled by flags; and which file that was.

    Args:
        path: the file; None takes the first of ``default_files`` that is there.
        flags: see ``given_flags``.

    Raises:
        ConfigError: the file cannot be read, or a key or value in it is wrong; says the line.
    """
    loaded = read(path, flags)
    mistakes = loaded.said()
    if mistakes:
        raise ConfigError.of(mistakes)
    return loaded.config, loaded.file


def read(path: Path | None, flags: Flags | None = None) -> Loaded:
    """As ``load``, with all mistakes found instead of one raised.

    Raises:
        ConfigError: the file cannot be read, or is no TOML.
    """
    if path is None:
        path = next((file for file in default_files() if file.is_file()), None)
    flags = flags or {}
    content = b"" if path is None else _content(path)
    tables = parse(content, str(path))
    _, in_file = repaired(tables)
    for table, values in flags.items():
        tables[table] = {**_without_rivals(table, tables.get(table, {}), values), **values}
    config, mistakes = repaired(tables)
    known = {(error.path, str(error)) for error in mistakes}
    overruled = tuple(error for error in in_file if (error.path, str(error)) not in known)
    return Loaded(config, tuple(mistakes), overruled, path, content.decode(), flags)


def _content(path: Path) -> bytes:
    try:
        return read_regular(str(path), MAX_BYTES)
    except OSError as error:
        remedy = "; only root and the group fer-edge may read it, or give --config FILE" * (error.errno == errno.EACCES)
        raise ConfigError(f"config {path}: {error.strerror}; expected a TOML file{remedy}") from error


def parse(content: bytes, name: str) -> dict[str, Any]:
    """TOML text as tables of plain values.

    Raises:
        ConfigError: not TOML.
    """
    if not content:
        return {}
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
    config, mistakes = repaired(tables)
    if mistakes:
        raise ConfigError.of(mistakes)
    return config


def repaired(tables: dict[str, Any]) -> tuple[Config, list[ConfigError]]:
    """Tables to a ``Config``, with its defaults for a table that has something wrong; and all that is wrong."""
    mistakes: list[ConfigError] = []
    made: dict[str, Any] = {}
    for table, values in tables.items():
        if table not in TABLES:
            mistakes.append(_unknown(table, table, [*TABLES, *(key.name for key in keys())]))
        elif not isinstance(values, dict):
            mistakes.append(ConfigError(f"{table}: found a value, expected a table, i.e. a line [{table}]", table))
        else:
            good = _good_values(table, values, mistakes)
            found = limits.problems(limits.unchecked(TABLES[table], good))
            mistakes += [ConfigError(f"{table}.{name}: {problem}", f"{table}.{name}") for name, problem in found]
            made[table] = TABLES[table]() if found else TABLES[table](**good)
    return Config(**made), mistakes


def _good_values(table: str, values: dict[str, Any], mistakes: list[ConfigError]) -> dict[str, Any]:
    """The values of a table that have the type of their key; adds the others to the mistakes."""
    hints = {key.name: key.hint for key in keys() if key.table == table}
    good: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{table}.{name}"
        if name not in hints:
            mistakes.append(_unknown(path, name, list(hints)))
        elif not _is_plain(value):
            mistakes.append(ConfigError(f"{path}: found a {type(value).__name__}, expected a plain value", path))
        elif "\0" in str(value):
            mistakes.append(ConfigError(f"{path}: a zero byte in it; expected text without", path))
        else:
            try:
                good[name] = codec.decode_value(hints[name], value, path)
            except SchemaError as error:
                mistakes.append(ConfigError(str(error), path))
    return good


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
    """The whole configuration as a file; keys without a value are comments, and no secret is in it."""
    lines: list[str] = []
    for table, cls in TABLES.items():
        lines += ["", f"[{table}]"]
        texts = described(cls)
        for item in dataclasses.fields(cls):
            value = _shown(item.name, codec.encode(getattr(getattr(config, table), item.name)))
            comment = f"  # {texts[item.name]}" if with_help and item.name in texts else ""
            lines.append(f"# {item.name} ={comment}" if value is None else f"{item.name} = {_toml(value)}{comment}")
    return "\n".join(lines[1:]) + "\n"


def _shown(name: str, value: Any) -> Any:
    """A value without a secret that somebody put there: a login in a URL, or itself where its file is asked for."""
    if not isinstance(value, str) or not value:
        return value
    return redact.path(value) if name.endswith(("password_file", "token_file")) else redact.url(value)


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
    import difflib  # for a mistake alone

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
