"""``fer-edge tune``: finds the fastest setting here, and remembers it."""

from __future__ import annotations

import argparse

from fer_edge.commands.flags import progress
from fer_edge.contract.bundle import open_bundle
from fer_edge.profiler import tune
from fer_edge.setting.find import find_bundle


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; gives the exit status."""
    bundle = open_bundle(find_bundle(arguments.bundle))
    if arguments.forget:
        print(tune.forget(bundle))
        return 0
    chosen = tune.tune(
        bundle, arguments.floor, arguments.any_detector, arguments.source, arguments.max_s, print, progress()
    )
    if chosen.tainted and not arguments.keep_tainted:
        print("not kept, as it is tainted; tune again when the machine is quiet, or with --keep-tainted")
        return 1
    print(tune.remember(bundle, chosen))
    return 0
