"""What can be set: a table a subject, each defined beside what it sets. Flags and their help are made from these."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fer_edge.board.health import HealthSettings
from fer_edge.contract.errors import SchemaError
from fer_edge.logs import LogSettings
from fer_edge.sinks.csv_file import CsvSettings
from fer_edge.sinks.jsonl import JsonlSettings
from fer_edge.sinks.metrics import MetricsSettings
from fer_edge.sinks.mqtt.settings import MqttSettings
from fer_edge.sinks.web.settings import WebSettings
from fer_edge.tracking.track import TrackSettings

# flags whose name is not --table-key
NAMES = {
    ("source", "uri"): "source",
    ("source", "camera"): "camera",
    ("source", "wait"): "wait",
    ("source", "reconnect"): "reconnect",
    ("source", "realtime"): "realtime",
    ("source", "loop"): "loop",
    ("source", "rate"): "rate",
    ("source", "every"): "every",
    ("source", "from_s"): "from",
    ("source", "to_s"): "to",
    ("model", "bundle"): "bundle",
    ("model", "variant"): "variant",
    ("model", "labels"): "labels",
    ("model", "threads"): "threads",
    ("model", "tiles"): "tiles",
    ("model", "detector"): "detector",
    ("track", "enabled"): "track",
    ("jsonl", "path"): "jsonl",
    ("csv", "path"): "csv",
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
        every: of a clip, read only one of so many frames.
        from_s: of a clip, read from this place on, in s.
        to_s: of a clip, read up to this place, in s.
    """

    uri: str = ""
    camera: bool = False
    wait: bool = False
    reconnect: bool = True
    realtime: bool = False
    loop: bool = False
    rate: float | None = None
    every: int = 1
    from_s: float | None = None
    to_s: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise SchemaError("every", f"found {self.every}, expected a whole number above 0")
        for name in ("from_s", "to_s"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1e7:
                raise SchemaError(name, f"found {value:g}, expected s from the clip's start")
        if self.to_s is not None and self.to_s <= (self.from_s or 0):
            raise SchemaError("to_s", f"found {self.to_s:g}, expected more than from_s, which is {self.from_s or 0:g}")
        if self.camera and self.uri:
            raise SchemaError("camera", f"found true beside uri {self.uri!r}, expected one of them")
        if self.rate is not None and not 0.1 <= self.rate <= 1000:
            raise SchemaError("rate", f"found {self.rate:g}, expected 0.1 to 1000 frames per second")


@dataclass(frozen=True)
class ModelSettings:
    """The ``[model]`` table.

    Args:
        bundle: folder; without it FER_EDGE_BUNDLE, the installed one, or dist/.
        variant: of the classifier; without it what fer-edge tune found here, else the bundle's default.
        labels: set to answer in, ferplus8 or fer7; without it the bundle's default.
        threads: of the interpreters; without it what fer-edge tune found here, else up to 4.
        detector: of faces; without it what fer-edge tune found here, else the bundle's default.
        tiles: grids searched for small faces; 0 for none. Without it 2,3 for photos, none for a live picture.
    """

    bundle: str = ""
    variant: str | None = None
    threads: int | None = None
    detector: str | None = None
    tiles: tuple[int, ...] | None = None
    labels: str | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
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
    csv: CsvSettings = field(default_factory=CsvSettings)
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


def differences(before: Config, after: Config) -> list[str]:
    """Which keys differ, as ``table.key``."""
    return [
        f"{key.table}.{key.name}"
        for key in keys()
        if getattr(getattr(before, key.table), key.name) != getattr(getattr(after, key.table), key.name)
    ]
