"""``fer-edge doctor``: what is wrong on this machine, see ``doctor/examine.py``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fer_edge import __version__
from fer_edge.doctor.examine import Machine, examine
from fer_edge.doctor.report import DoctorDoc, dumps, format_lines, format_summary
from fer_edge.errors import UsageError


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; gives 1 where something fails, else 0."""
    if not arguments.sysroot.is_dir():
        raise UsageError(f"--sysroot {arguments.sysroot}: no such folder; expected a recorded tree, or nothing")
    machine = Machine(arguments.bundle, arguments.sysroot)
    findings = []
    for finding in examine(machine):
        findings.append(finding)
        if not arguments.json:
            print(format_lines(finding), flush=True)
    sysroot = None if arguments.sysroot == Path("/") else str(arguments.sysroot)
    document = dumps(DoctorDoc(__version__, machine.board.model, tuple(findings), sysroot))
    if arguments.report is not None:
        from fer_edge.doctor.pack import pack

        names = pack(arguments.report, document, machine.root, machine.run)
        print(f"{arguments.report}: {', '.join(names)}; look into it before you send it", file=sys.stderr)
    if arguments.json:
        print(document, end="")
    else:
        print(format_summary(findings))
    return int(any(finding.level == "fail" for finding in findings))
