"""Predicts a network's time from a board's table of operators; a pure function, for budgets in ms.

table = latency.load(Path("pi4.json"))
latency.predict(table, operators_of_tflite(path)).ms
latency.predict(table, operators_of_torch(network, 3, 96, "int8")).ms
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract import latency as schema
from fer_edge.contract.latency import LatencyDoc, Row
from fer_host.errors import DataError
from fer_host.operators import Operator, operators_of_torch

if TYPE_CHECKING:
    from torch import nn

_DECIDING = ("kernel", "stride", "multiplier", "dilation", "pad")  # attributes that change the time
_NEAR = 0.7  # how fast a measured operator's say falls with its distance in log(size)
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
        return schema.loads(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"latency table {path}: {error.strerror}; expected the file of fer-edge bench --per-op"
        ) from error
    except SchemaError as error:
        raise DataError(f"latency table {path}: {error}; expected the file of fer-edge bench --per-op") from error


def predict(table: LatencyDoc, operators: Sequence[Operator], fit: Fit | None = None) -> Prediction:
    """The time of a network of these operators, in ms.

    An operator that was measured counts as measured. Another one is estimated from those of its own kind (operator,
    dtype, kernel, stride): work, values and weights moved, with nonnegative prices, those of a similar size counting
    most.
    """
    fit = fit or Fit(1.0, table.overhead_ms)
    kinds = _kinds(table)
    total = 0.0
    exact = estimated = 0
    unknown = set()
    for operator in operators:
        if operator.op in _FREE:
            continue
        known = kinds.get(_kind(operator)) or kinds.get(_kind(operator)[:2], [])
        same = [
            ms for other, ms in known if (other.in_shape, other.out_shape) == (operator.in_shape, operator.out_shape)
        ]
        if same and _kind(operator) in kinds:
            total, exact = total + sum(same) / len(same), exact + 1
        elif known:
            total, estimated = total + _estimate(operator, known, table.overhead_ms), estimated + 1
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

    def ms(network: nn.Module) -> float:
        found = predict(table, operators_of_torch(network, in_channels, size_px, dtype), fit)
        if found.unknown:
            raise DataError(
                f"latency table of {table.board}: has no {', '.join(found.unknown)}; make probes of a network of this "
                "kind (fer-host probes) and time them again (fer-edge bench --per-op)"
            )
        return found.ms

    return ms


def operator_of(row: Row) -> Operator:
    """A table's row as an operator."""
    return Operator(row.op, tuple(row.attrs.items()), row.in_shape, row.out_shape, row.dtype)


def _kinds(table: LatencyDoc) -> dict[tuple[str, ...], list[tuple[Operator, float]]]:
    """Rows by kind, and by operator and dtype alone; their times without what a call costs."""
    found: dict[tuple[str, ...], list[tuple[Operator, float]]] = {}
    for row in table.rows:
        operator = operator_of(row)
        entry = operator, max(row.ms_p50 - table.overhead_ms, 1e-6)
        found.setdefault(_kind(operator), []).append(entry)
        found.setdefault(_kind(operator)[:2], []).append(entry)
    return found


def _kind(operator: Operator) -> tuple[str, ...]:
    attrs = dict(operator.attrs)
    return operator.op, operator.dtype, *(attrs.get(name, "") for name in _DECIDING)


def _features(operator: Operator) -> NDArray[np.float64]:
    return np.array([1.0, operator.macs, operator.n_values, operator.n_weights], dtype=np.float64)


def _estimate(operator: Operator, known: list[tuple[Operator, float]], overhead_ms: float) -> float:
    """Prices a piece of work, fitted to the error relative to a whole call, near sizes first."""
    x = _features(operator)
    rows = np.stack([_features(other) for other, _ in known])
    ms = np.array([time for _, time in known])
    distance = np.abs(np.log(rows[:, 1:3] / x[1:3])).sum(axis=1)
    weight = np.exp(-distance / _NEAR) + 1e-4
    by = np.sqrt(weight) / (ms + overhead_ms)  # else operators that take next to nothing would decide
    prices = nonnegative(rows * by[:, None], ms * by)
    return max(float(x @ prices), 0.0)


def nonnegative(columns: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares with no solution below 0: the best of all subsets of the few columns (exact for four)."""
    n = columns.shape[1]
    scale = np.maximum(np.abs(columns).max(axis=0), 1e-30)
    scaled = columns / scale
    best, best_error = np.zeros(n), math.inf
    for size in range(1, n + 1):
        for subset in itertools.combinations(range(n), size):
            part = scaled[:, subset]
            found, *_ = np.linalg.lstsq(part, target, rcond=None)
            if (found < 0).any():
                continue
            error = float(((part @ found - target) ** 2).sum())
            if error < best_error - 1e-12:
                best, best_error = np.zeros(n), error
                best[list(subset)] = found
    return np.asarray(best / scale, dtype=np.float64)
