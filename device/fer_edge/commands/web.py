"""``fer-edge web``: a page that reads photos, without a camera."""

from __future__ import annotations

import argparse

from fer_edge.contract.bundle import open_bundle
from fer_edge.detectors import PHOTO_TILES
from fer_edge.errors import SchemaError, UsageError
from fer_edge.pipeline import open_pipeline
from fer_edge.program import logs
from fer_edge.setting import tuned
from fer_edge.setting.find import find_bundle
from fer_edge.sinks.running import what_runs
from fer_edge.sinks.web.alone import serve
from fer_edge.sinks.web.controls import PhotoDesk
from fer_edge.sinks.web.settings import WebSettings


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; gives the exit status."""
    bundle = open_bundle(find_bundle(arguments.bundle)).answering_in(arguments.labels)
    setting = tuned.choose(bundle, arguments.variant, arguments.threads, None, is_live=False)
    pipeline = open_pipeline(bundle, setting, PHOTO_TILES)  # here, so that errors show now
    try:
        settings = WebSettings(
            enabled=True,
            address=arguments.address,
            port=arguments.port,
            token_file=arguments.token_file,
            hosts=tuple(arguments.host_name),
            frame_ancestors=tuple(arguments.frame_ancestor),
            blur=arguments.blur,
        )
    except SchemaError as error:
        raise UsageError(f"web.{error}") from error
    logs.set_up(logs.LogSettings())
    return serve(settings, PhotoDesk(lambda: pipeline), logs.say, what_runs(bundle.manifest, setting))
