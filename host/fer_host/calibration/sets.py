"""Calibration sets on disk (``calibration/sets/NAME.json``): which faces, from where, under which terms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fer_edge.contract import codec
from fer_host.calibration.faces import CalibrationFaces
from fer_host.calibration.lint import LintReport
from fer_host.files.artifacts import write_bytes
from fer_host.files.paths import CALIBRATION_SETS

SCHEMA = "fer-edge/calibration-set/1"


@dataclass(frozen=True)
class SetItem:
    """One face of a set: which picture it was, never the picture."""

    sha256: str
    origin: str
    label: str | None = None


@dataclass(frozen=True)
class CalibrationSet:
    """What a set holds and under which terms its pictures come; the pictures themselves are not in the project."""

    name: str
    source: str
    license: str
    lint: LintReport
    items: tuple[SetItem, ...]


def set_record(
    name: str,
    faces: CalibrationFaces,
    known: CalibrationSet | None,
    source: str,
    license_name: str,
    default_source: str,
) -> CalibrationSet:
    """What is written down of a set; the same faces again keep the source and licence that were known of them."""
    items = tuple(SetItem(*item) for item in zip(faces.hashes(), faces.origins, faces.labels, strict=True))
    if known is not None and known.items == items:
        source, license_name = source or known.source, license_name or known.license
    return CalibrationSet(name, source or default_source, license_name or "unknown", faces.report, items)


def set_path(name: str) -> Path:
    """Where a set of this name is recorded."""
    return CALIBRATION_SETS / f"{name}.json"


def is_set(name: str | None) -> bool:
    """Whether there is a set of this name."""
    return name is not None and set_path(name).is_file()


def set_names() -> list[str]:
    """All sets there are."""
    return sorted(path.stem for path in CALIBRATION_SETS.glob("*.json"))


def load_set(name: str) -> CalibrationSet | None:
    """The set of this name; None where there is none."""
    return codec.loads(SCHEMA, CalibrationSet, set_path(name).read_bytes()) if is_set(name) else None


def save_set(record: CalibrationSet) -> Path:
    """Writes a set's record, complete or not at all."""
    write_bytes(set_path(record.name), codec.dumps(SCHEMA, record).encode())
    return set_path(record.name)


def holds(name: str, faces: CalibrationFaces) -> bool:
    """Whether the set of this name has exactly these faces."""
    known = load_set(name)
    return known is not None and [item.sha256 for item in known.items] == faces.hashes()
