"""The bench schema (``fer-edge/bench/1``): a timing never travels without unit, n, board, threads and runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fer_edge.contract import codec
from fer_edge.contract.manifest import Metric

SCHEMA = "fer-edge/bench/1"


@dataclass(frozen=True)
class Runtime:
    """The package and version that computed; of onnxruntime the provider too, and why it is not the one meant."""

    name: str
    version: str
    provider: str | None = None
    lacks: str | None = None


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
    """PSS and peak RSS of the process; the interpreter's arena where it can be read; the network file.

    ``network_bytes`` is what opening the network and running it once added to the process' own memory (arena, packed
    weights, thread stacks): measured, where the arena itself cannot be read; None where several were opened in one
    process. ``cma_used_bytes`` is the machine's (cameras and codecs take it), None where the kernel has none.
    """

    model_bytes: int
    peak_rss_bytes: int
    pss_bytes: int | None = None
    arena_bytes: int | None = None
    network_bytes: int | None = None
    cma_used_bytes: int | None = None
    cma_total_bytes: int | None = None


@dataclass(frozen=True)
class Power:
    """Power of the named probe while measuring; ``coverage`` says which rails it sees.

    ``energy_mj_per_frame`` is gross; ``net_mj_per_frame`` has what the idle machine takes subtracted. Per inference is
    per run of the classifier (a frame may hold none or several faces). ``gap_s`` is how long the probe gave nothing:
    that time is in no mean and no energy.
    """

    probe: str
    coverage: str
    mean_w: float
    energy_mj_per_frame: float
    idle_w: float
    net_mj_per_frame: float | None = None
    energy_mj_per_inference: float | None = None
    net_mj_per_inference: float | None = None
    n_samples: int | None = None
    rate_hz: float | None = None
    gap_s: float | None = None


@dataclass(frozen=True)
class Throttled:
    """The board's throttling flags before and after; "unknown" where the board has none."""

    before: str
    after: str


@dataclass(frozen=True)
class Session:
    """Which process measured it: files with one ``id`` were measured interleaved, in rounds, ``role`` "a" and "b"."""

    id: str
    role: str
    n_roles: int


@dataclass(frozen=True)
class Precision:
    """How well ``headline`` (a stage) is known: half the 95% interval of its mean, as a share of the mean.

    ``wanted`` is None where a number of repetitions was asked for instead; ``warmup`` says how the warm-up was cut.
    """

    headline: str
    reached: float
    warmup: Literal["detected", "given"]
    n_outliers: int
    n_independent_blocks: int
    wanted: float | None = None
    warmup_settled: bool = True


@dataclass(frozen=True)
class Blocks:
    """Consecutive repetitions in blocks of ``size``: mean and median in ms; ``t_s`` is a block's end since the start.

    They follow one another in time, so drift and autocorrelation can still be seen; ``fer-edge compare`` needs them.
    """

    size: int
    t_s: tuple[float, ...]
    mean_ms: tuple[float, ...]
    p50_ms: tuple[float, ...]


@dataclass(frozen=True)
class Histogram:
    """Counts in bins of equal width from ``lower_ms`` to ``upper_ms``; ``above`` were slower, up to ``max_ms``."""

    lower_ms: float
    upper_ms: float
    counts: tuple[int, ...]
    above: int
    max_ms: float


@dataclass(frozen=True)
class Signal:
    """Something read beside the measurement, by time since its start; ``gaps`` (from, to) are where nothing came."""

    unit: str
    t_s: tuple[float, ...]
    values: tuple[float, ...]
    gaps: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of this file with this machine's kernels, 0 to 1; rows without a usable label or face are dropped."""

    dataset: str
    labels: str
    n: int
    n_dropped: int
    accuracy: float


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
    mode: Literal["model", "pipeline", "camera"] | None = None
    model_id: str | None = None
    scheme: str | None = None
    detector: str | None = None
    measured_at: str | None = None  # UTC, ISO 8601
    fer_edge: str | None = None
    kernel: str | None = None
    power_mode: str | None = None
    power_note: str | None = None
    session: Session | None = None
    precision: Precision | None = None
    blocks: dict[str, Blocks] = field(default_factory=dict)
    histogram: Histogram | None = None
    series: dict[str, Signal] = field(default_factory=dict)
    accuracy: Accuracy | None = None
    metrics: tuple[Metric, ...] = ()  # of the manifest: measured where the bundle was made, not here


def dumps(document: BenchDoc) -> str:
    """As JSON text."""
    return codec.dumps(SCHEMA, document)


def loads(text: str | bytes) -> BenchDoc:
    """From JSON text; raises SchemaError with the field's path."""
    return codec.loads(SCHEMA, BenchDoc, text)
