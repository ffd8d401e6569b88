"""Predicts a network's time from a board's table of operators; a pure function, for budgets in ms.

table = load(Path("pi4.json"))
predict(OperatorTimes(table), operators_of_tflite(path), Fit(1.0, table.overhead_ms)).ms
network_ms(table, 3, 96, "int8")(network)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer_edge.contract import latency as schema
from fer_edge.contract.latency import LatencyDoc
from fer_edge.contract.regular import read_regular
from fer_host.boards.of_torch import operators_of_torch
from fer_host.boards.operators import Operator
from fer_host.boards.times import OperatorTimes
from fer_host.errors import DataError

if TYPE_CHECKING:
    from torch import nn

_FREE = ("RESHAPE",)  # changes no byte


@dataclass(frozen=True)
class Fit:
    """From a table's sum to a whole network: ``scale * sum + offset_ms``, found on other networks of the board."""

    scale: float = 1.0
    offset_ms: float = 0.0


@dataclass(frozen=True)
class Prediction:
    """A whole network's time; ``n_exact`` operators are in the table, ``n_estimated`` lie between those that are.

    ``unknown`` are kinds of operators that the table has none of: they count nothing, so that ``ms`` is too small.
    """

    ms: float
    n_exact: int
    n_estimated: int
    unknown: tuple[str, ...]


def load(path: Path) -> LatencyDoc:
    """A board's table.

    Raises:
        DataError: no such file, or no table.
    """
    from fer_edge.contract.errors import SchemaError

    try:
        return schema.loads(read_regular(path))
    except OSError as error:
        raise DataError(
            f"latency table {path}: {error.strerror}; expected the file of fer-edge bench --per-op"
        ) from error
    except SchemaError as error:
        raise DataError(f"latency table {path}: {error}; expected the file of fer-edge bench --per-op") from error


def predict(times: OperatorTimes, operators: Sequence[Operator], fit: Fit) -> Prediction:
    """The time of a network of these operators, in ms; what was measured counts as measured.

    Args:
        times: of the board.
        operators: of the network.
        fit: ``Fit(1.0, table.overhead_ms)`` where no other networks of the board were measured.
    """
    total = 0.0
    exact = estimated = 0
    unknown = set()
    for operator in operators:
        if operator.op in _FREE:
            continue
        measured = times.measured(operator)
        guess = times.estimated(operator) if measured is None else None
        if measured is not None:
            total, exact = total + measured, exact + 1
        elif guess is not None:
            total, estimated = total + guess, estimated + 1
        else:
            unknown.add(f"{operator.op} {operator.dtype}")
    return Prediction(fit.scale * total + fit.offset_ms, exact, estimated, tuple(sorted(unknown)))


def fit(pairs: Sequence[tuple[float, float]]) -> Fit:
    """Scale and offset from (predicted with ``Fit(1, 0)``, measured) of other networks; least squares of the ratio.

    One network gives a scale only; none gives ``Fit()``.
    """
    if not pairs:
        return Fit()
    sums, measured = np.array([p for p, _ in pairs]), np.array([m for _, m in pairs])
    if len(pairs) > 2:
        columns = np.stack([sums, np.ones_like(sums)], axis=1) / measured[:, None]
        scale, offset = np.linalg.lstsq(columns, np.ones_like(sums), rcond=None)[0]
        if scale > 0 and offset >= 0:
            return Fit(float(scale), float(offset))
    ratio = sums / measured
    return Fit(float(ratio.sum() / (ratio**2).sum()), 0.0)


def network_ms(
    table: LatencyDoc, in_channels: int, size_px: int, dtype: str, fit: Fit | None = None
) -> Callable[[nn.Module], float]:
    """What ``prune.costs.cost_of(ms=...)`` takes: a torch network's predicted time once converted to ``dtype``."""
    times, fit = OperatorTimes(table), fit or Fit(1.0, table.overhead_ms)

    def ms(network: nn.Module) -> float:
        found = predict(times, operators_of_torch(network, in_channels, size_px, dtype), fit)
        if found.unknown:
            raise DataError(
                f"latency table of {table.board}: has no {', '.join(found.unknown)}; make probes of a network of this "
                "kind (fer-host probes) and time them again (fer-edge bench --per-op)"
            )
        return found.ms

    return ms
