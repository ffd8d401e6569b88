"""What ``fer-edge run`` does: one TOML file, every key of which is also a flag. Decoded strictly: no key is ignored.

``TABLES`` lists the settings, each defined beside what it sets; flags and their help are made from them.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import json
import os
import re
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fer_edge.contract import codec
from fer_edge.contract.errors import SchemaError
from fer_edge.errors import ConfigError
from fer_edge.health import HealthSettings
from fer_edge.logs import LogSettings
from fer_edge.sinks.jsonl import JsonlSettings
from fer_edge.sinks.metrics import MetricsSettings
from fer_edge.sinks.mqtt import MqttSettings
from fer_edge.sinks.web.settings import WebSettings
from fer_edge.track import TrackSettings

Flags = dict[str, dict[str, Any]]  # table -> key -> value, as in the file
MAX_BYTES = 1_000_000
# flags whose name is not --table-key
NAMES = {
    ("source", "uri"): "source",
    ("source", "camera"): "camera",
    ("source", "wait"): "wait",
    ("source", "reconnect"): "reconnect",
    ("source", "realtime"): "realtime",
    ("source", "loop"): "loop",
    ("source", "rate"): "rate",
    ("model", "bundle"): "bundle",
    ("model", "variant"): "variant",
    ("model", "threads"): "threads",
    ("model", "tiles"): "tiles",
    ("model", "detector"): "detector",
    ("track", "enabled"): "track",
    ("jsonl", "path"): "jsonl",
    ("web", "enabled"): "web",
    ("web", "blur"): "blur",
    ("metrics", "enabled"): "metrics",
    ("health", "enabled"): "health",
}
# what a running daemon takes over on SIGHUP; the rest needs a restart
RELOADABLE = ("track", "health", "log")


@dataclass(frozen=True)
class SourceSettings:
    """The ``[source]`` table.

    Args:
        uri: a clip's path, images://folder, csi://0, v4l2:///dev/video0, v4l2://usb:046d:0825, argus://0,
            rtsp://host/path or synthetic://.
        camera: take the first camera found: picamera2, V4L2, then Argus.
        wait: at the start, keep trying until there is a camera.
        reconnect: open a live source again after it was lost, for as long as it takes.
        realtime: play a clip at its own speed, dropping late frames.
        loop: begin a clip again at its end.
        rate: play a clip, or drawn faces, at so many frames per second.
    """

    uri: str = ""
    camera: bool = False
    wait: bool = False
    reconnect: bool = True
    realtime: bool = False
    loop: bool = False
    rate: float | None = None

    def __post_init__(self) -> None:
        if self.camera and self.uri:
            raise SchemaError("camera", f"found true beside uri {self.uri!r}, expected one of them")
        if self.rate is not None and not 0.1 <= self.rate <= 1000:
            raise SchemaError("rate", f"found {self.rate:g}, expected 0.1 to 1000 frames per second")


@dataclass(frozen=True)
class ModelSettings:
    """The ``[model]`` table.

    Args:
        bundle: folder; without it FER_EDGE_BUNDLE, the installed one, or dist/.
        variant: of the classifier; without it the bundle's default.
        threads: of the interpreters.
        detector: of faces; without it the bundle's default.
        tiles: grids searched for small faces; 0 for none. Without it 2,3 for photos, none for a live picture.
    """

    bundle: str = ""
    variant: str | None = None
    threads: int = field(default_factory=lambda: min(4, os.cpu_count() or 1))
    detector: str | None = None
    tiles: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise SchemaError("threads", f"found {self.threads}, expected a whole number above 0")
        if self.tiles is not None and any(not 0 <= grid <= 8 for grid in self.tiles):
            raise SchemaError("tiles", f"found {list(self.tiles)}, expected grid sizes such as [2, 3], or [0]")


@dataclass(frozen=True)
class Config:
    """The whole file: a table a field."""

    source: SourceSettings = field(default_factory=SourceSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    track: TrackSettings = field(default_factory=TrackSettings)
    health: HealthSettings = field(default_factory=HealthSettings)
    jsonl: JsonlSettings = field(default_factory=JsonlSettings)
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    web: WebSettings = field(default_factory=WebSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    log: LogSettings = field(default_factory=LogSettings)


TABLES: dict[str, Any] = typing.get_type_hints(Config)


@dataclass(frozen=True)
class Key:
    """One setting: where it is, its type, its help, its flag."""

    table: str
    name: str
    hint: Any
    help: str

    @property
    def flag(self) -> str:
        """Without the dashes."""
        return NAMES.get((self.table, self.name), f"{self.table}-{self.name}".replace("_", "-"))

    @property
    def type(self) -> Any:
        """The hint without ``| None``."""
        if typing.get_origin(self.hint) in (typing.Union, types.UnionType):
            return next(arg for arg in typing.get_args(self.hint) if arg is not type(None))
        return self.hint


def keys() -> Iterator[Key]:
    """All settings in order."""
    for table, cls in TABLES.items():
        hints, texts = typing.get_type_hints(cls), described(cls)
        for item in dataclasses.fields(cls):
            yield Key(table, item.name, hints[item.name], texts.get(item.name, ""))


def described(cls: Any) -> dict[str, str]:
    """The ``Args:`` or ``Attributes:`` of a class' docstring: name to text."""
    found: dict[str, str] = {}
    name = ""
    for line in re.split(r"(?:Args|Attributes):\n", cls.__doc__ or "", maxsplit=1)[-1].splitlines():
        entry = re.fullmatch(r" {8}(\w+): (.*)", line)
        if entry:
            name, found[entry[1]] = entry[1], entry[2]
        elif name and line.startswith(" " * 9):
            found[name] += " " + line.strip()
        elif line.strip():
            break
    return found


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


def differences(before: Config, after: Config) -> list[str]:
    """Which keys differ, as ``table.key``."""
    return [
        f"{key.table}.{key.name}"
        for key in keys()
        if getattr(getattr(before, key.table), key.name) != getattr(getattr(after, key.table), key.name)
    ]


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
        group.add_argument(f"--{key.flag}", type=key.type, metavar=metavar, **common)


def _list_of(inner: Any) -> Any:
    def parse_list(text: str) -> list[Any]:
        try:
            return [inner(part) for part in text.split(",") if part]
        except ValueError:
            raise argparse.ArgumentTypeError(f"found {text!r}, expected values with commas between") from None

    return parse_list
