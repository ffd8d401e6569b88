"""What can be set: one table per subject, defined beside what it sets. Flags and their help are made from these."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fer_edge.board.health import HealthSettings
from fer_edge.contract.docstrings import described
from fer_edge.contract.limits import Limited, Problem, checked, within
from fer_edge.errors import SourceError
from fer_edge.program.logs import LogSettings
from fer_edge.sinks.jsonl import JsonlSettings
from fer_edge.sinks.mqtt.settings import MqttSettings
from fer_edge.sinks.table_settings import CsvSettings, MetricsSettings
from fer_edge.sinks.video_settings import AnnotateSettings
from fer_edge.sinks.web.settings import WebSettings
from fer_edge.sources import SCHEMES, Playback, parse_uri
from fer_edge.sources.uri import has_password, has_user
from fer_edge.tracking.track import TrackSettings
from fer_edge.tracking.zones import ZoneSettings

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
    ("model", "min_score"): "min-score",
    ("model", "baseline"): "baseline",
    ("track", "enabled"): "track",
    ("jsonl", "path"): "jsonl",
    ("csv", "path"): "csv",
    ("annotate", "path"): "annotate",
    ("web", "enabled"): "web",
    ("web", "blur"): "blur",
    ("metrics", "enabled"): "metrics",
    ("health", "enabled"): "health",
}
# what a running daemon takes over on SIGHUP; the rest needs a restart
RELOADABLE = ("track", "zones", "health", "log")


def _uri(text: str) -> str:
    try:
        if text:
            parse_uri(text)
    except SourceError as error:
        return str(error).removeprefix("source ")
    return ""


def _tiles(grids: tuple[int, ...] | None) -> str:
    fine = grids is None or all(0 <= grid <= 8 for grid in grids)
    return "" if fine else f"found {list(grids or ())}, expected grid sizes such as [2, 3], or [0]"


@dataclass(frozen=True)
class SourceSettings(Limited):
    """The ``[source]`` table.

    Args:
        uri: a clip's path, images://folder, csi://0, v4l2:///dev/video0, v4l2://usb:046d:0825, argus://0,
            rtsp://host/path, http://host/stream or synthetic://.
        camera: take the first camera found: picamera2, V4L2, then Argus.
        wait: at the start, keep trying until there is a camera.
        reconnect: open a live source again after it was lost, for as long as it takes.
        realtime: play a clip at its own speed, dropping late frames.
        loop: begin a clip again at its end.
        rate: play a clip, or drawn faces, at so many frames per second.
        every: of a clip, read only one of so many frames.
        from_s: of a clip, read from this place on, in s.
        to_s: of a clip, read up to this place, in s.
        password_file: file whose first line is the password of the user in uri, e.g. rtsp://user@host/path. A service
            takes the credential of that name (LoadCredential=), which systemd reads for it as root.
    """

    uri: str = checked("", _uri)
    camera: bool = False
    wait: bool = False
    reconnect: bool = True
    realtime: bool = False
    loop: bool = False
    rate: float | None = within(None, 0.1, 1000, "frames per second")
    every: int = within(1, 1, 1_000_000)
    from_s: float | None = within(None, 0, 1e7, "s from the clip's start")
    to_s: float | None = within(None, 0, 1e7, "s from the clip's start")
    password_file: str = ""

    @property
    def playback(self) -> Playback:
        """How a clip is played."""
        return Playback(self.realtime, self.loop, self.rate, self.every, self.from_s, self.to_s)

    def conflicts(self) -> Iterator[Problem]:
        """Two sources, a part of a clip that is none, or a way to play that the source does not have."""
        if self.to_s is not None and self.to_s <= (self.from_s or 0):
            yield "to_s", f"found {self.to_s:g}, expected more than from_s, which is {self.from_s or 0:g}"
        if not self.uri and not self.camera:
            return
        uri = parse_uri(self.uri) if self.uri else None
        if uri and self.camera:
            yield "camera", f"found true beside uri {uri.text!r}, expected one of them"
        if self.password_file and (uri is None or not has_user(uri)):
            yield "password_file", "given without a user; expected uri = rtsp://user@host/path"
        elif self.password_file and uri is not None and has_password(uri):
            yield "password_file", "given beside a password in uri; expected one of them"
        asked = {"loop": self.loop, "rate": self.rate, "every": self.every > 1}
        asked |= {"from_s": self.from_s is not None, "to_s": self.to_s is not None}
        for key in (key for key, value in asked.items() if value):
            if key.removesuffix("_s") not in (SCHEMES[uri.scheme].plays if uri else ()):
                name = uri.text if uri else "camera://"
                yield key, f"{name} is no clip; expected the path of a video, or no {key}"


@dataclass(frozen=True)
class ModelSettings(Limited):
    """The ``[model]`` table.

    Args:
        bundle: folder; without it FER_EDGE_BUNDLE, the installed one, dist/, or the built-in one.
        variant: of the classifier; without it the bundle's default, of live pictures what fer-edge tune found here.
        labels: set to answer in, ferplus8 or fer7; without it the bundle's default.
        threads: of the interpreters; without it what fer-edge tune found here, else up to 4.
        detector: of faces; without it the bundle's default, of live pictures what fer-edge tune found here.
        min_score: least score of a face; without it the detector's own (blazeface_short 0.5, blazeface_full 0.6,
            mtcnn 0.7).
        tiles: grids searched for small faces; 0 for none. Without it 2,3 for photos, none for a live picture.
        baseline: file of fer-edge baseline: the neutral of the one person who is seen, for the shift of each face.
    """

    bundle: str = ""
    variant: str | None = None
    threads: int | None = within(None, 1, 1024)
    detector: str | None = None
    tiles: tuple[int, ...] | None = checked(None, _tiles)
    labels: str | None = None
    min_score: float | None = within(None, 0.01, 0.99)
    baseline: str = ""


@dataclass(frozen=True)
class Config:
    """The whole file: one table per field."""

    source: SourceSettings = field(default_factory=SourceSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    track: TrackSettings = field(default_factory=TrackSettings)
    zones: ZoneSettings = field(default_factory=ZoneSettings)
    health: HealthSettings = field(default_factory=HealthSettings)
    jsonl: JsonlSettings = field(default_factory=JsonlSettings)
    csv: CsvSettings = field(default_factory=CsvSettings)
    annotate: AnnotateSettings = field(default_factory=AnnotateSettings)
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


@functools.cache
def keys() -> tuple[Key, ...]:
    """All settings in order."""
    found: list[Key] = []
    for table, cls in TABLES.items():
        hints, texts = typing.get_type_hints(cls), described(cls)
        found += [Key(table, item.name, hints[item.name], texts.get(item.name, "")) for item in dataclasses.fields(cls)]
    return tuple(found)


def differences(before: Config, after: Config) -> list[str]:
    """Which keys differ, as ``table.key``."""
    return [
        f"{key.table}.{key.name}"
        for key in keys()
        if getattr(getattr(before, key.table), key.name) != getattr(getattr(after, key.table), key.name)
    ]
