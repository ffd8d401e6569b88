"""``fer-edge service``: the unit under systemd, see ``daemon/service.py``."""

from __future__ import annotations

import argparse

from fer_edge.daemon import service


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; gives the exit status."""
    if arguments.action == "status":
        return service.status()
    if arguments.action == "uninstall":
        return service.uninstall()
    return service.install(arguments.prefix, start=arguments.action == "install")
