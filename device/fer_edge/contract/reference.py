"""Reference measurements (``fer-edge/reference/1``): one file per board, only of machines that were really measured."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fer_edge.contract import codec
from fer_edge.contract.bench import BenchDoc
from fer_edge.contract.errors import SchemaError

SCHEMA = "fer-edge/reference/1"
MAX_HALF_INTERVAL = 0.05  # of the mean
MIN_N = 100


@dataclass(frozen=True)
class ReferenceDoc:
    """All entries of one board and processor, each a whole measurement with its conditions."""

    board: str
    cpu: str
    entries: tuple[BenchDoc, ...]

    def __post_init__(self) -> None:
        for i, entry in enumerate(self.entries):
            problem = why_not(entry)
            if problem:
                raise SchemaError(f"entries[{i}]", problem)
            if (entry.board, entry.cpu) != (self.board, self.cpu):
                raise SchemaError(f"entries[{i}].board", f"found {entry.board}, {entry.cpu}; expected the file's own")
        keys = [key_of(entry) for entry in self.entries]
        if len(set(keys)) != len(keys):
            raise SchemaError("entries", "found a setting twice")


def why_not(entry: BenchDoc) -> str:
    """Why a measurement cannot be a reference; "" where it can.

    Not emulated; all of it said (bundle, version, time); warm-up found and settled; at least MIN_N repetitions; the
    mean known to MAX_HALF_INTERVAL; never throttled. What other processes took stays in the entry, as ``tainted``.
    """
    if entry.emulated:
        return "found an emulated processor, expected a real one"
    if entry.precision is None or entry.mode is None or entry.model_id is None or entry.measured_at is None:
        return "found a measurement of an older fer-edge, expected one with mode, precision and time"
    if not entry.precision.warmup_settled:
        return "found timings that had not settled; measure longer"
    if entry.n < MIN_N or entry.precision.reached > MAX_HALF_INTERVAL:
        found = f"found n = {entry.n}, ±{entry.precision.reached:.1%}"
        return f"{found}; expected at least {MIN_N} and ±{MAX_HALF_INTERVAL:.0%}"
    throttled = [
        reason for reason in entry.tainted if re.search("thrott|under-voltage|capped|clock|temperature", reason)
    ]
    return f"found {throttled[0]}; expected a machine at its full clock" if throttled else ""


def key_of(entry: BenchDoc) -> tuple[object, ...]:
    """What may be there once: a newer measurement of the same setting replaces an older one."""
    return entry.model_id, entry.variant, entry.mode, entry.threads, entry.detector, entry.governor, entry.power_mode


def file_name(entry: BenchDoc) -> str:
    """For the board and processor, e.g. ``raspberry-pi-5-model-b-rev-1-0-cortex-a76.json``."""
    return re.sub(r"[^a-z0-9]+", "-", f"{entry.board} {entry.cpu}".lower()).strip("-") + ".json"


def dumps(document: ReferenceDoc) -> str:
    """As JSON text."""
    return codec.dumps(SCHEMA, document)


def loads(text: str | bytes) -> ReferenceDoc:
    """From JSON text; raises SchemaError with the field's path."""
    return codec.loads(SCHEMA, ReferenceDoc, text)
