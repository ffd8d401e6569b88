"""Known faults in what the host installs and the offline archives carry, by pip-audit: ``make audit`` runs it.

It needs a network: pypi.org, or with ``--service osv`` api.osv.dev. pip-audit by itself says "no known vulnerabilities"
also where it could look nothing up; here that is an error. Status 0: all looked up, none found; 1: some found; 2: not
all could be looked up.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from fer_host.pack.targets import TARGETS

ROOT = Path(__file__).resolve().parents[1]


def pins() -> list[str]:
    """``name==version`` of constraints.txt and of what the targets' archives have in place of it."""
    lines = [line.strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    shared = {line for line in lines if line and not line.startswith("#")}
    return sorted(shared | {pin for target in TARGETS.values() for pin in target.own_pins})


def judge(output: str, errors: str, asked: int) -> tuple[list[str], int]:
    """What to print and the exit status, from pip-audit's JSON and what it said.

    Args:
        output: of ``pip-audit --format json``.
        errors: its other output, for the reason where there is no JSON.
        asked: number of packages that it was given.
    """
    try:
        rows: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        reason = (errors.strip().splitlines() or ["it said nothing"])[-1]
        return [
            f"audit: error: pip-audit reached no database ({reason.partition(' (Caused')[0][:120]}); expected a network"
        ], 2
    found = [(row, fault) for row in rows for fault in row.get("vulns", [])]
    lines = []
    for row, fault in found:
        remedy = ", ".join(fault.get("fix_versions", [])) or "none yet"
        lines.append(f"{row['name']} {row['version']}: {fault['id']}; mended in: {remedy}")
    skipped = [row for row in rows if "skip_reason" in row]
    if skipped or len(rows) < asked:
        known = asked - sum("skip_reason" not in row for row in rows)
        reason = skipped[0]["skip_reason"] if skipped else "no answer"
        lines.append(
            f"audit: error: {known} of {asked} packages could not be looked up ({reason}); expected a network that "
            "reaches pypi.org, or api.osv.dev with --service osv"
        )
        return lines, 2
    return [*lines, f"audit: {asked} packages looked up, {len(found)} known faults"], 1 if found else 0


def main() -> int:
    """Runs pip-audit and says what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pip-audit", default="pip-audit", metavar="FILE", help="the program (default: on PATH)")
    parser.add_argument("--service", choices=("pypi", "osv"), default="pypi", help="the database (default: pypi)")
    arguments = parser.parse_args()
    asked = pins()
    rows, status = [], 0
    # one version of a package a run: pip-audit refuses two
    first = {pin.partition("==")[0].lower(): pin for pin in reversed(asked)}
    for group in (sorted(first.values()), [pin for pin in asked if pin not in first.values()]):
        if not group:
            continue
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("\n".join(group) + "\n")
            file.flush()
            command = [arguments.pip_audit, "-r", file.name, "--no-deps", "--disable-pip", "--progress-spinner", "off"]
            command += ["--format", "json", "--vulnerability-service", arguments.service]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines, found = judge(done.stdout, done.stderr, len(group))
        if found == 2:
            print(lines[-1], file=sys.stderr)
            return 2
        rows, status = rows + lines, max(status, found)
    print("\n".join(rows))
    return status


if __name__ == "__main__":
    raise SystemExit(main())
