"""Prints findings as lines or as a ``fer-edge/doctor/1`` document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fer_edge.contract import codec
from fer_edge.doctor.finding import Finding

SCHEMA = "fer-edge/doctor/1"


@dataclass(frozen=True)
class DoctorDoc:
    """A whole examination. ``sysroot`` is the tree that stood for this machine, None for the machine itself."""

    version: str
    board: str
    findings: tuple[Finding, ...]
    sysroot: str | None = None


def dumps(document: DoctorDoc) -> str:
    """As JSON text."""
    return codec.dumps(SCHEMA, document)


def loads(text: str | bytes) -> DoctorDoc:
    """From JSON text; raises SchemaError with the field's path."""
    return codec.loads(SCHEMA, DoctorDoc, text)


def format_lines(finding: Finding) -> str:
    """A line, and for a problem the remedy below it."""
    line = f"{finding.level:5} {finding.name:15} {' '.join(finding.found.split())}"
    return line if finding.remedy is None else f"{line}\n{'':21} -> {finding.remedy}"


def format_summary(findings: Iterable[Finding]) -> str:
    """How many of each level."""
    levels = [finding.level for finding in findings]
    return f"{levels.count('ok')} ok, {levels.count('warn')} warn, {levels.count('fail')} fail"
