"""From a configuration to a running daemon: opens bundle, source and sinks, and closes what it opened."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable
from pathlib import Path

from fer_edge import config as configuration
from fer_edge.board.camera_nodes import camera_nodes
from fer_edge.board.health import HealthMonitor
from fer_edge.config import Config
from fer_edge.contract.baseline import load as load_baseline
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.daemon import newcomer
from fer_edge.daemon.loop import Daemon, OnWait
from fer_edge.daemon.notify import Notifier
from fer_edge.daemon.outputs import check_outputs, open_files
from fer_edge.daemon.senders import open_senders
from fer_edge.daemon.signals import ended_by_sigterm
from fer_edge.daemon.summary import RunSummary
from fer_edge.daemon.switch import Switch
from fer_edge.detectors import PHOTO_TILES
from fer_edge.errors import ConfigError, SchemaError, SourceError, UsageError
from fer_edge.pipeline import Pipeline, open_pipeline
from fer_edge.program import logs
from fer_edge.setting import tuned
from fer_edge.setting.find import find_bundle
from fer_edge.setting.setting import Setting
from fer_edge.sinks.fanout import Together
from fer_edge.sinks.running import what_runs
from fer_edge.sinks.secret import first_line
from fer_edge.sinks.web.controls import PhotoDesk
from fer_edge.sources import SCHEMES, SourceUri, opener, parse_uri
from fer_edge.sources.camera import find_camera
from fer_edge.sources.reconnect import ReconnectingSource
from fer_edge.sources.uri import with_password
from fer_edge.tracking.zones import Zones
from fer_edge.types import FrameSource

log = logging.getLogger(__name__)


class PageControls:
    """What the web page may ask of a run: the camera on or off, and a photo read beside it."""

    has_camera = True

    def __init__(self, switch: Switch, desk: PhotoDesk) -> None:
        self.start, self.stop, self.read_photo = switch.turn_on, switch.turn_off, desk.read_photo


class Launcher:
    """One ``fer-edge run``.

    Args:
        config: what to do.
        file: where that was read from, for SIGHUP.
        flags: that overrule the file, for SIGHUP.
        max_frames: to read at most.
        camera: opens a camera in place of the configured source (benchmarks/standin.py fails on demand).
        when_tracking: called when faces begin to be followed.
        bundle: that is configured, already opened; None opens it.
        when_loaded: called when the libraries and networks are loaded, and when source and sinks are open.

    Raises:
        EdgeError: a source, bundle or value that cannot be used.
    """

    config: Config
    is_camera: bool
    name: str
    setting: Setting
    pipeline: Pipeline
    monitor: HealthMonitor

    def __init__(
        self,
        config: Config,
        file: Path | None,
        flags: configuration.Flags,
        max_frames: int | None = None,
        camera: Callable[[], FrameSource] | None = None,
        when_tracking: Callable[[], None] = lambda: None,
        bundle: Bundle | None = None,
        when_loaded: Callable[[], object] = lambda: None,
    ) -> None:
        logs.set_up(config.log)
        self.config, self._file, self._flags, self._max_frames = config, file, flags, max_frames
        self._when_tracking, self._when_loaded = when_tracking, when_loaded
        self._uri = _source_uri(config)
        self.is_camera = self._uri is None or SCHEMES[self._uri.scheme].is_camera
        self.name = "camera://" if self._uri is None else self._uri.text
        self._open = camera or _opener(config, self._uri)
        given = Path(config.model.bundle) if config.model.bundle else None
        bundle = newcomer.tried(bundle or open_bundle(find_bundle(given)))
        self._newcomer = newcomer.Newcomer(bundle)
        self.bundle: Bundle = bundle.answering_in(config.model.labels)
        check_outputs(config, self._uri, self.bundle, file)
        self.setting = self._setting(is_live=not self._can_wait)
        self.pipeline = self._pipeline()
        when_loaded()
        self.monitor = HealthMonitor(config.health)
        self.daemon: Daemon | None = None  # while it runs
        self._first: FrameSource | None = None

    def run(self) -> RunSummary:
        """Runs until the source ends or a signal comes; tells what was done.

        Raises:
            EdgeError: something could not be opened, or a camera hangs for good.
        """
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(self.monitor.close)
            notifier = Notifier()
            cleanup.callback(notifier.close)
            if not (self.is_camera and self.config.source.wait):
                with ended_by_sigterm():
                    self._first = self._open_source()
                cleanup.callback(self._close_first)
            files = open_files(self.config, self.bundle, cleanup, self.is_camera, self._first)
            switch = Switch()
            controls = PageControls(switch, PhotoDesk(self._photo_pipeline))
            running = what_runs(self.bundle.manifest, self.setting, self.name)
            sinks = open_senders(self.config, self.bundle, running, controls, self._instance, cleanup)
            self.daemon = Daemon(
                self._connect,
                self.name,
                self.pipeline,
                (*files, *sinks) if self.is_camera else sinks,
                Together(files) if files and not self.is_camera else None,
                notifier,
                self.monitor,
                self._max_frames,
                self._reload,
                switch,
            )
            self.monitor.start(log.warning)
            self._when_loaded()
            return self.daemon.run()

    # -- source ------------------------------------------------------------------------------------------------------

    def _connect(self, on_wait: OnWait) -> FrameSource:
        first, self._first = self._first, None
        if not (self.is_camera and (self.config.source.reconnect or self.config.source.wait)):
            return first or self._open_source()
        return ReconnectingSource(self._open_source, self.name, log.warning, on_wait, first=first, look=camera_nodes)

    def _open_source(self) -> FrameSource:
        source = self._open()
        if source.description:
            log.info("%s: %s", source.name, source.description)
        return source

    def _close_first(self) -> None:
        if self._first is not None:  # never iterated: LiveSource closes its camera at the end of the process
            self._first.close()

    # -- pipeline ----------------------------------------------------------------------------------------------------

    @property
    def _can_wait(self) -> bool:
        """Frames are there whenever they are read: of a clip or photos that nobody paces."""
        return self._uri is not None and SCHEMES[self._uri.scheme].can_wait and not self.config.source.playback.is_paced

    def _setting(self, is_live: bool) -> Setting:
        model = self.config.model
        told = (model.variant, model.threads, model.detector, model.min_score)
        return tuned.choose(self.bundle, *told, is_live=is_live)

    def _pipeline(self) -> Pipeline:
        """That of the video: follows faces, except in a folder of photos."""
        model = self.config.model
        scheme = None if self._uri is None else SCHEMES[self._uri.scheme]
        tiles = model.tiles if model.tiles is not None else PHOTO_TILES if self._can_wait else ()
        self._follows_faces = scheme is None or scheme.tracks_faces
        track = self.config.track if self._follows_faces else None
        if track is not None and track.enabled:
            self._when_tracking()
        return open_pipeline(self.bundle, self.setting, _grids(tiles), track, self.config.zones, self._baseline())

    def _baseline(self) -> tuple[float, ...] | None:
        """A service whose bundle was updated goes on without the one that was made with the old."""
        path = self.config.model.baseline
        try:
            return load_baseline(path, self.bundle).log_odds if path else None
        except SchemaError as error:
            if "NOTIFY_SOCKET" not in os.environ:
                raise
            log.error("%s; going on without it", error)
            return None

    def _photo_pipeline(self) -> Pipeline:
        """That of photos dropped on the web page: an interpreter of its own, so that it never delays a frame."""
        model = self.config.model
        tiles = PHOTO_TILES if model.tiles is None else model.tiles
        return open_pipeline(self.bundle, self._setting(is_live=False), _grids(tiles))

    def _instance(self) -> str:
        """What tells this run from others on this machine and broker."""
        from fer_edge.sinks.mqtt.identity import instance_key

        given = self._flags.get("source", {})
        file = None if self._file in configuration.default_files() else self._file
        return instance_key(self.name if given.get("uri") or given.get("camera") else "", file)

    # -- SIGHUP ------------------------------------------------------------------------------------------------------

    def _reload(self) -> None:
        """Takes over what can be taken over while running, and says what needs a restart."""
        try:
            after, _ = configuration.load(self._file, self._flags)
        except ConfigError as error:
            log.error("reload: %s; going on as before", error)
            return
        self._newcomer.look(after.model.bundle)
        changed = configuration.differences(self.config, after)
        taken = [key for key in changed if key.partition(".")[0] in configuration.RELOADABLE]
        later = [key for key in changed if key not in taken]
        idle = [key for key in taken if key.startswith("track.") and not self._follows_faces]
        taken = [key for key in taken if key not in idle]
        if after.log != self.config.log:
            logs.set_up(after.log)
        if after.health != self.config.health:
            self.monitor.reload(after.health)
        if after.track != self.config.track and self._follows_faces:
            if after.track.enabled:
                self._when_tracking()
            self.pipeline.retrack(after.track)
        self.pipeline.zones = Zones.of(after.zones)
        log.warning(
            "reload: %s%s%s",
            f"now in use: {', '.join(taken)}" if taken else "nothing to take over",
            f"; of no use for photos: {', '.join(idle)}" if idle else "",
            f"; needs a restart: {', '.join(later)}" if later else "",
        )
        # what is in use: the next reload says again what still needs a restart
        self.config = dataclasses.replace(
            self.config, log=after.log, health=after.health, track=after.track, zones=after.zones
        )


def _source_uri(config: Config) -> SourceUri | None:
    """The source's URI; None for the first camera found."""
    return parse_uri(config.source.uri) if config.source.uri else None


def _opener(config: Config, uri: SourceUri | None) -> Callable[[], FrameSource]:
    """Opens the source, each time anew, with the password that its file has then."""
    source = config.source
    if uri is not None and source.password_file:
        return lambda: opener(with_password(uri, secret_of_source(source.password_file)), source.playback)()
    return find_camera if uri is None else opener(uri, config.source.playback)


def secret_of_source(path: str) -> str:
    """The password of the source.

    Raises:
        SourceError: its file cannot be read now; what waits for a camera waits for this too.
    """
    try:
        return first_line(path)
    except UsageError as error:
        raise SourceError(str(error)) from error


def _grids(tiles: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(grid for grid in tiles if grid > 1)
