"""The bench schema (``fer-edge/bench/1``): a timing never travels without unit, n, board, threads and runtime."""

from __future__ import annotations

from dataclasses import dataclass, field

from fer_edge.contract import codec

SCHEMA = "fer-edge/bench/1"


@dataclass(frozen=True)
class Runtime:
    """The interpreter's package and version."""

    name: str
    version: str


@dataclass(frozen=True)
class StageTiming:
    """Statistics of one stage over the measured repetitions, in ms."""

    mean_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    ci95_ms: tuple[float, float]  # of the mean


@dataclass(frozen=True)
class Memory:
    """PSS and peak RSS of the process; the interpreter's arena where it can be read; the network file."""

    model_bytes: int
    peak_rss_bytes: int
    pss_bytes: int | None = None
    arena_bytes: int | None = None


@dataclass(frozen=True)
class Power:
    """Power of the named probe; ``coverage`` says which rails it sees."""

    probe: str
    coverage: str
    mean_w: float
    energy_mj_per_frame: float
    idle_w: float


@dataclass(frozen=True)
class Throttled:
    """The board's throttling flags before and after; "unknown" where the board has none."""

    before: str
    after: str


@dataclass(frozen=True)
class BenchDoc:
    """One run of ``fer-edge bench``. ``power`` is null where no probe was read, never estimated."""

    board: str
    cpu: str
    governor: str
    threads: int
    runtime: Runtime
    bundle_sha256: str
    variant: str
    n: int
    warmup_n: int
    stages: dict[str, StageTiming]
    fps: float
    frame_age_ms: dict[str, float]
    memory: Memory
    throttled: Throttled
    tainted: tuple[str, ...]
    emulated: bool
    power: Power | None = field(default=None, metadata={"null": True})


def dumps(document: BenchDoc) -> str:
    """As JSON text."""
    return codec.dumps(SCHEMA, document)


def loads(text: str | bytes) -> BenchDoc:
    """From JSON text; raises SchemaError with the field's path."""
    return codec.loads(SCHEMA, BenchDoc, text)
