"""Faster, slower, or cannot tell: on made-up timings whose truth is known, paired and unpaired."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_edge.contract.bench import BenchDoc, Blocks, Memory, Precision, Runtime, Session, Throttled
from fer_edge.errors import UsageError
from fer_edge.profiler.compare import compare, format_comparison
from fer_edge.profiler.statistics import block_edges, in_blocks, summarize

Floats = NDArray[np.float64]


def doc(times: Floats, session: str = "s", role: str = "a", **changes: object) -> BenchDoc:
    size, count = block_edges(len(times))
    values = in_blocks(times, size, count)
    blocks = Blocks(
        size, tuple(range(count)), tuple(map(float, values.mean(axis=1))), tuple(map(float, np.median(values, axis=1)))
    )
    document = BenchDoc(
        "board", "cpu", "performance", 1, Runtime("litert", "1"), "a" * 64, "int8", len(times), 0,
        {"infer": summarize(list(times))}, 1.0, {}, Memory(1, 2), Throttled("unknown", "unknown"), (), False,
        mode="model", session=Session(session, role, 2), blocks={"infer": blocks},
        precision=Precision("infer", 0.01, "detected", 0, count),
    )  # fmt: skip
    return dataclasses.replace(document, **changes)  # type: ignore[arg-type]


def disturbed(random: np.random.Generator, n: int = 1200) -> tuple[Floats, Callable[[float], Floats]]:
    """What a shared machine does to both sides at once: drift, phases at half speed, single outliers."""
    drift = 1 + 0.1 * np.sin(np.linspace(0, random.uniform(1, 5), n) + random.uniform(0, 6))
    slow = np.repeat(random.random(n // 50) < 0.2, 50) * 0.8
    common = drift + slow

    def side(factor: float) -> Floats:
        own = random.gamma(20, 1 / 20, n) + (random.random(n) < 0.02) * random.exponential(3, n)
        return np.asarray(factor * common * own)

    return common, side


def false_calls(n_runs: int) -> int:
    wrong = 0
    for seed in range(n_runs):
        _, side = disturbed(np.random.default_rng(seed))
        wrong += compare(doc(side(1.0)), doc(side(1.0), role="b")).verdict != "cannot tell"
    return wrong


def test_the_same_twice_is_rarely_called_different() -> None:
    """The bar is 3 of 50 at a level of 99%; 200 runs here allow 6."""
    assert false_calls(200) <= 6


def test_ten_percent_slower_is_called() -> None:
    verdicts = []
    for seed in range(50):
        _, side = disturbed(np.random.default_rng(1000 + seed))
        verdicts.append(compare(doc(side(1.0)), doc(side(1.1), role="b")).verdict)
    assert verdicts.count("slower") >= 48
    assert "faster" not in verdicts


def test_the_ratio_and_its_interval() -> None:
    _, side = disturbed(np.random.default_rng(4))
    found = compare(doc(side(1.0)), doc(side(0.8), role="b"))
    assert found.verdict == "faster"
    assert found.lower < 0.8 < found.upper
    assert found.interleaved
    assert "faster: B takes 2" in format_comparison(found)


def test_separate_runs_need_more() -> None:
    """The same 3% that interleaved runs show stay unsaid between two processes."""
    random = np.random.default_rng(5)
    a, b = random.gamma(400, 1 / 400, 1200), 1.03 * random.gamma(400, 1 / 400, 1200)
    assert compare(doc(a), doc(b, role="b")).verdict == "slower"
    apart = compare(doc(a), doc(b, session="other"))
    assert (apart.verdict, apart.interleaved) == ("cannot tell", False)
    assert compare(doc(a), doc(b, session="other"), margin=0.0).verdict == "slower"
    assert compare(doc(a), doc(1.1 * a, session="other")).verdict == "slower"


def test_separate_runs_of_noise_are_not_called() -> None:
    wrong = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        a, b = (np.exp(0.05 * np.cumsum(random.normal(size=1200)) / 20) for _ in range(2))
        wrong += compare(doc(a), doc(b, session="other")).verdict != "cannot tell"
    assert wrong <= 5


@pytest.mark.parametrize(
    "changes", [{"board": "Pi 4"}, {"cpu": "A53"}, {"mode": "pipeline"}, {"emulated": True}, {"governor": "ondemand"}]
)
def test_other_conditions_are_refused(changes: dict[str, object]) -> None:
    times = np.linspace(1, 1.1, 200)
    with pytest.raises(UsageError, match=r"differs.*--across-boards"):
        compare(doc(times), doc(times, role="b", **changes))
    assert compare(doc(times), doc(times, role="b", **changes), across_boards=True).verdict == "cannot tell"


def test_files_without_blocks_are_refused() -> None:
    times = np.linspace(1, 1.1, 200)
    with pytest.raises(UsageError, match="B: no 8 blocks of the stage 'infer'"):
        compare(doc(times), doc(times, role="b", blocks={}))
    with pytest.raises(UsageError, match="'detect'"):
        compare(doc(times), doc(times, role="b"), "detect")


def test_what_spoilt_a_run_is_repeated() -> None:
    times = np.linspace(1, 1.1, 200)
    found = compare(doc(times), doc(times, role="b", tainted=("throttled while measuring",)))
    assert "B is tainted: throttled while measuring" in format_comparison(found)
