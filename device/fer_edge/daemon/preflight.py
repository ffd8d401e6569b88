"""What ``run`` and ``config check`` both look at before anything is opened: every mistake of a configuration at once.

What a setting may be is said where it is defined; here is what only this machine can tell: files, bundle, packages.
"""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fer_edge import config as configuration
from fer_edge.config import Config, Flags
from fer_edge.contract.baseline import load as load_baseline
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.daemon.outputs import check_outputs
from fer_edge.errors import ConfigError, EdgeError
from fer_edge.setting.find import find_bundle
from fer_edge.sinks.secret import first_line
from fer_edge.sources import SCHEMES, opener, parse_uri
from fer_edge.sources.options import camera_number, camera_options

OpenBundle = Callable[[], Bundle]
Check = Callable[[Config, Flags], Iterator[ConfigError]]


class Ready(NamedTuple):
    """What a run can begin with.

    Attributes:
        config: without a mistake.
        file: that it is from; None for none.
        bundle: opened, all its digests checked: that takes a part of the start, and is done once.
    """

    config: Config
    file: Path | None
    bundle: Bundle


def load(path: Path | None, flags: Flags | None = None) -> Ready:
    """A configuration that a run can begin with, see ``config.load``, and its bundle.

    Raises:
        ConfigError: what is wrong, all of it in ``each``, in the order of the file.
    """
    loaded = configuration.read(path, flags)
    given = loaded.config.model.bundle

    @cache
    def bundle() -> Bundle:
        return open_bundle(find_bundle(Path(given) if given else None))

    mistakes = loaded.said(_unusable(loaded, bundle))
    if mistakes:
        raise ConfigError.of(mistakes)
    return Ready(loaded.config, loaded.file, bundle())


def _unusable(loaded: configuration.Loaded, bundle: OpenBundle) -> Iterator[ConfigError]:
    """Of each table that is right by itself, what does not work on this machine."""
    wrong = {error.path.partition(".")[0] for error in loaded.mistakes}
    checks: dict[str, Check] = {"source": _source, "model": lambda config, _: _model(config, bundle)}
    checks |= {"jsonl": _jsonl, "csv": _csv, "annotate": _annotate}
    checks |= {"mqtt": _mqtt, "web": _web}
    for table, check in checks.items():
        if table not in wrong:
            yield from check(loaded.config, loaded.flags)
    yield from _outputs(loaded, bundle)


def _source(config: Config, flags: Flags) -> Iterator[ConfigError]:
    source = config.source
    if not source.uri:
        if not source.camera:
            expected = "expected --source URI or --camera, or uri or camera in the [source] table of a file"
            yield ConfigError(f"no source; {expected}", "source.uri")
        return
    uri = parse_uri(source.uri)
    if flags.get("source", {}).get("wait") and not SCHEMES[uri.scheme].is_camera:
        yield _mistake(
            "source.wait", f"{uri.text} is no camera; expected --camera, csi://, v4l2://, argus://, rtsp:// or http://"
        )
    yield from _tried("source.password_file", lambda: first_line(source.password_file))
    row = SCHEMES[uri.scheme]
    is_there: dict[str, Callable[[Path], bool]] = {"file": Path.exists, "folder": Path.is_dir}
    if row.names in is_there and not is_there[row.names](Path(uri.path)):
        yield _mistake("source.uri", f"{uri.text}: no such {row.names}; expected {row.expected}")
        return

    def ready() -> None:
        if row.is_camera:
            camera_options(uri)
        if row.is_camera and not row.needs_path:
            camera_number(uri)
        opener(uri, source.playback)

    yield from _tried("source.uri", ready)


def _model(config: Config, open_it: OpenBundle) -> Iterator[ConfigError]:
    model = config.model
    try:
        bundle = open_it()
        manifest = bundle.manifest
    except EdgeError as error:
        yield _mistake("model.bundle", str(error))
        return
    yield from _tried("model.labels", lambda: manifest.answering_in(model.labels))
    yield from _tried("model.variant", lambda: manifest.variant(model.variant))
    yield from _tried("model.detector", lambda: manifest.find_detector(model.detector))
    if model.baseline and "NOTIFY_SOCKET" not in os.environ:  # a service goes on without it
        yield from _tried("model.baseline", lambda: load_baseline(model.baseline, bundle.answering_in(model.labels)))


def _jsonl(config: Config, _: Flags) -> Iterator[ConfigError]:
    yield from _target("jsonl.path", config.jsonl.path)


def _csv(config: Config, _: Flags) -> Iterator[ConfigError]:
    yield from _target("csv.path", config.csv.path)


def _annotate(config: Config, _: Flags) -> Iterator[ConfigError]:
    if config.annotate.path and importlib.util.find_spec("av") is None:
        remedy = "pip install 'fer-edge[video]', or apt install python3-av"
        yield _mistake("annotate.path", f"PyAV is not installed; {remedy}")
    yield from _target("annotate.path", config.annotate.path)


def _target(key: str, name: str) -> Iterator[ConfigError]:
    path = Path(name)
    if name in ("", "-"):
        return
    if path.is_dir():
        why = "is a folder"
    elif not path.parent.is_dir():
        why = "no such folder"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        why = "cannot be written"
    else:
        return
    yield _mistake(key, f"{path}: {why}; expected a file that can be written, or -")


def _outputs(loaded: configuration.Loaded, open_it: OpenBundle) -> Iterator[ConfigError]:
    """An output that is an input, where bundle and source are found."""
    config = loaded.config
    try:
        bundle = open_it()
        uri = parse_uri(config.source.uri) if config.source.uri else None
    except EdgeError:
        return  # said already
    try:
        check_outputs(config, uri, bundle, loaded.file)
    except EdgeError as error:
        table = str(error).removeprefix("--").partition(" ")[0].rstrip(":")  # flag and table have one name
        yield _mistake(f"{table}.path", str(error))


def _mqtt(config: Config, _: Flags) -> Iterator[ConfigError]:
    if not config.mqtt.host:
        return
    if importlib.util.find_spec("paho") is None:
        remedy = "pip install 'fer-edge[mqtt]', or apt install python3-paho-mqtt"
        yield _mistake("mqtt.host", f"paho-mqtt is not installed; {remedy}")
    else:
        from fer_edge.sinks.mqtt.client import tls_context

        if config.mqtt.tls:
            yield from _tried("mqtt.tls", lambda: tls_context(config.mqtt))
    yield from _tried("mqtt.password_file", lambda: first_line(config.mqtt.password_file, may_be_empty=True))


def _web(config: Config, __: Flags) -> Iterator[ConfigError]:
    if not (config.web.enabled or config.metrics.enabled):
        return
    from fer_edge.sinks.web.guard import Token

    if config.web.token_file:
        yield from _tried("web.token_file", lambda: Token(first_line(config.web.token_file)))
    try:
        family, kind, _, _, place = socket.getaddrinfo(config.web.address, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(place)  # port 0: whether this machine has the address, even while a run uses the port
    except OSError as error:
        expected = "expected an address of this machine, e.g. 127.0.0.1 or 0.0.0.0"
        yield _mistake("web.address", f"{config.web.address}: {error.strerror or error}; {expected}")


def _tried(path: str, call: Callable[[], object]) -> Iterator[ConfigError]:
    try:
        call()
    except EdgeError as error:
        yield _mistake(path, str(error))


def _mistake(path: str, problem: str) -> ConfigError:
    """The key first; a message that begins with the key itself says it once."""
    problem = problem.removeprefix("source ").removeprefix(f"{path}: ")
    return ConfigError(f"{path}: {problem}", path)
