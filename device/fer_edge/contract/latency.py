"""Probes (``fer-edge/probes/1``: one file per operator) and the table a board makes of them (``fer-edge/latency/1``).

The interpreter's Python package has no operator profiler: operators are timed as networks of one operator each.
"""

from __future__ import annotations

from dataclasses import dataclass

from fer_edge.contract import codec
from fer_edge.contract.bench import Runtime

PROBES_SCHEMA = "fer-edge/probes/1"
SCHEMA = "fer-edge/latency/1"
INDEX_NAME = "probes.json"
EMPTY = "NONE"  # the probe of a network that does next to nothing: what a call costs


@dataclass(frozen=True)
class Probe:
    """One file: ``count`` is how often the network has this operator; ``share`` of its channels this probe keeps.

    ``attrs`` are texts: ``kernel`` "3x3", ``stride`` "2x2", ``padding``, ``activation``, ``multiplier``.
    """

    file: str
    sha256: str
    op: str
    attrs: dict[str, str]
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    dtype: str
    count: int
    share: float


@dataclass(frozen=True)
class ProbesDoc:
    """All probes of one or several networks, in the order of their operators."""

    networks: tuple[str, ...]
    rows: tuple[Probe, ...]


@dataclass(frozen=True)
class Row:
    """One operator's time on the board; ``ms_p50`` contains ``overhead_ms``."""

    op: str
    attrs: dict[str, str]
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    dtype: str
    ms_p50: float
    n: int


@dataclass(frozen=True)
class LatencyDoc:
    """A board's table."""

    board: str
    runtime: Runtime
    threads: int
    overhead_ms: float
    rows: tuple[Row, ...]
    cpu: str | None = None
    governor: str | None = None
    emulated: bool = False
    tainted: tuple[str, ...] = ()
    measured_at: str | None = None


def dumps(document: LatencyDoc) -> str:
    """As JSON text."""
    return codec.dumps(SCHEMA, document)


def loads(text: str | bytes) -> LatencyDoc:
    """From JSON text; raises SchemaError with the field's path."""
    return codec.loads(SCHEMA, LatencyDoc, text)


def dump_probes(document: ProbesDoc) -> str:
    """The index as JSON text."""
    return codec.dumps(PROBES_SCHEMA, document)


def load_probes(text: str | bytes) -> ProbesDoc:
    """From JSON text; raises SchemaError with the field's path."""
    return codec.loads(PROBES_SCHEMA, ProbesDoc, text)
