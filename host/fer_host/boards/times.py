"""Times of operators that a board's table does not hold, from those of their kind that it does.

Kernels compute whole tiles of output channels: 65 channels may take as long as 128. How wide a board's tiles are is
found in its own table, kind by kind: the width that predicts each measured operator best from all the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from fer_edge.contract.latency import LatencyDoc, Row
from fer_host.boards.operators import Operator

_DECIDING = ("kernel", "stride", "multiplier", "dilation", "pad")  # attributes that change the time
_NEAR = 0.7  # how fast a measured operator's say falls with its distance in log(size)
_TILES = (1, 8, 16, 32, 64)
_ENOUGH = 8  # measured operators of a kind, before their tiles are looked for

Kind = tuple[str, ...]


def kind_of(operator: Operator) -> Kind:
    """Operator, dtype and the attributes that decide which kernel runs."""
    attrs = dict(operator.attrs)
    return operator.op, operator.dtype, *(attrs.get(name, "") for name in _DECIDING)


def operator_of(row: Row) -> Operator:
    """A table's row as an operator."""
    return Operator(row.op, tuple(row.attrs.items()), row.in_shape, row.out_shape, row.dtype)


def features(operator: Operator, tile: int) -> NDArray[np.float64]:
    """What an operator's time is a sum of: a call, positions, values, work, weights; output channels in whole tiles."""
    positions = operator.n_outputs / operator.out_shape[-1]
    tiled = math.ceil(operator.out_shape[-1] / tile) * tile / operator.out_shape[-1]
    if operator.op == "CONV_2D":
        values = [positions, operator.n_outputs * tiled, operator.n_inputs]
    else:
        values = [operator.n_values * tiled]
    return np.array([1.0, *values, operator.macs * tiled, operator.n_weights * tiled], dtype=np.float64)


@dataclass(frozen=True)
class Measured:
    """The table's operators of one kind: their times without what a call costs, in ms."""

    operators: tuple[Operator, ...]
    ms: NDArray[np.float64]

    def without(self, i: int) -> Measured:
        """All but the i-th."""
        return Measured(self.operators[:i] + self.operators[i + 1 :], np.delete(self.ms, i))


class OperatorTimes:
    """A board's table, ready to be asked for any operator of its kinds.

    Args:
        table: by ``fer-edge bench --per-op``.
    """

    def __init__(self, table: LatencyDoc) -> None:
        self._overhead_ms = table.overhead_ms
        rows: dict[Kind, list[tuple[Operator, float]]] = {}
        for row in table.rows:
            operator = operator_of(row)
            entry = operator, max(row.ms_p50 - table.overhead_ms, 1e-6)
            rows.setdefault(kind_of(operator), []).append(entry)
            rows.setdefault(kind_of(operator)[:2], []).append(entry)
        self._kinds = {
            kind: Measured(tuple(operator for operator, _ in listed), np.array([ms for _, ms in listed]))
            for kind, listed in rows.items()
        }
        self._tiles: dict[Kind, int] = {}
        self._estimated: dict[Operator, float] = {}

    def measured(self, operator: Operator) -> float | None:
        """Mean of the rows of this very operator; None where there is none."""
        known = self._kinds.get(kind_of(operator))
        if known is None:
            return None
        shapes = operator.in_shape, operator.out_shape
        same = [ms for other, ms in zip(known.operators, known.ms, strict=True) if _shapes(other) == shapes]
        return float(np.mean(same)) if same else None

    def estimated(self, operator: Operator) -> float | None:
        """From the measured operators of its kind, or else of its operator and dtype; None where there are none."""
        if operator not in self._estimated:
            kind = kind_of(operator)
            kind = kind if kind in self._kinds else kind[:2]
            if kind not in self._kinds:
                return None
            self._estimated[operator] = self._price(operator, self._kinds[kind], self.tile(kind))
        return self._estimated[operator]

    def tile(self, kind: Kind) -> int:
        """Output channels that kernels of a kind compute at once; 1 where the table is too small to tell."""
        if kind not in self._tiles:
            known = self._kinds[kind]
            enough = len(known.operators) >= _ENOUGH
            self._tiles[kind] = min(_TILES, key=lambda tile: self._error(known, tile)) if enough else 1
        return self._tiles[kind]

    def _error(self, known: Measured, tile: int) -> float:
        """Mean relative error of each operator predicted from the others."""
        found = [self._price(operator, known.without(i), tile) for i, operator in enumerate(known.operators)]
        return float(np.abs(np.array(found) / known.ms - 1).mean())

    def _price(self, operator: Operator, known: Measured, tile: int) -> float:
        """Nonnegative prices of ``features``, fitted to the error relative to a whole call, near sizes first."""
        x = features(operator, tile)
        rows = np.stack([features(other, tile) for other in known.operators])
        sizes = np.array([(other.macs, other.n_values) for other in known.operators], dtype=np.float64)
        distance = np.abs(np.log(sizes / (operator.macs, operator.n_values))).sum(axis=1)
        weight = np.exp(-distance / _NEAR) + 1e-4
        by = np.sqrt(weight) / (known.ms + self._overhead_ms)  # else those that take next to nothing would decide
        columns = rows * by[:, None]
        scale = np.maximum(columns.max(axis=0), 1e-30)
        prices, _ = nnls(columns / scale, known.ms * by)
        return max(float(x @ (prices / scale)), 0.0)


def _shapes(operator: Operator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return operator.in_shape, operator.out_shape
