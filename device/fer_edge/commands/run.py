"""``fer-edge run``: a clip, a folder or a camera, read until it ends or is told to."""

from __future__ import annotations

import argparse

from fer_edge import config
from fer_edge.board.identify import is_jetson
from fer_edge.daemon import preflight
from fer_edge.daemon.launch import Launcher
from fer_edge.program import logs, pages
from fer_edge.program.own import keep_streams_clean, one_opencv_thread


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; gives the exit status."""
    flags = config.given_flags(arguments)
    configuration, file, bundle = preflight.load(arguments.config, flags)
    if is_jetson():
        keep_streams_clean()
    launcher = Launcher(
        configuration,
        file,
        flags,
        arguments.max_frames,
        when_tracking=one_opencv_thread,
        bundle=bundle,
        when_loaded=pages.let_go,
    )
    summary = launcher.run()
    logs.say(str(summary))
    return summary.exit_status
