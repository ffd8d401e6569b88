"""Allocators: a sensitivity table and a budget in, a bit policy out. Pure; the agents are in ``agents.py``.

All minimize the proxy loss, a sum over channels. ``knapsack`` solves the multiple-choice knapsack by Lagrangian
bisection; ``thresholds`` the same in the thesis' search space, bits that rise with the trace. Both report a lower bound
of what any policy of their kind can reach: what lies between is all that they can have missed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fer_host.errors import DataError
from fer_host.quantize.grid import WIDTHS
from fer_host.quantize.policy import BitPolicy
from fer_host.quantize.sensitivity import SensitivityTable
from fer_host.recipe.quantize import AllocatorName

Choice = NDArray[np.int64]
Allocator = Callable[[SensitivityTable, float], BitPolicy]
_STEPS = 80  # of the bisection; each halves the interval of log(lambda)


def knapsack(table: SensitivityTable, budget_bytes: float) -> BitPolicy:
    """The knapsack over channels, exact up to its reported bound.

    Raises:
        DataError: 2 bits everywhere are over the budget; so for all allocators.
    """
    check_budget(table, budget_bytes)
    started = time.perf_counter()
    choice, bound = _lagrangian(table.loss, table.weight_bytes, budget_bytes)
    choice = _fill(table.loss, table.weight_bytes, choice, budget_bytes)
    return _result(table, choice, "knapsack", budget_bytes, started, bound)


def hawq_v2(table: SensitivityTable, budget_bytes: float) -> BitPolicy:
    """One width per layer, by HAWQ-V2's criterion: the layer's mean trace x its squared error."""
    check_budget(table, budget_bytes)
    started = time.perf_counter()
    weights = np.bincount(table.layer_of, table.n_weights)
    trace = np.bincount(table.layer_of, table.mean_trace * table.n_weights) / weights
    error = np.stack([np.bincount(table.layer_of, table.error[:, i]) for i in range(len(WIDTHS))], axis=1)
    size: NDArray[np.float64] = np.stack(
        [np.bincount(table.layer_of, table.weight_bytes[:, i]) for i in range(len(WIDTHS))], axis=1
    )
    loss = np.asarray(trace[:, None] * error, dtype=np.float64)
    by_layer, _ = _lagrangian(loss, size, budget_bytes)
    by_layer = _fill(loss, size, by_layer, budget_bytes)
    return _result(table, by_layer[table.layer_of], "hawq_v2", budget_bytes, started)


def uniform(table: SensitivityTable, budget_bytes: float) -> BitPolicy:
    """The widest single width that fits."""
    check_budget(table, budget_bytes)
    started = time.perf_counter()
    n = len(table.n_weights)
    widest = max(i for i in range(len(WIDTHS)) if table.bytes_of(np.full(n, i)) <= budget_bytes)
    return _result(table, np.full(n, widest), "uniform", budget_bytes, started)


def one_width(table: SensitivityTable, bits: int) -> BitPolicy:
    """The same width for all channels, whatever it weighs."""
    choice = np.full(len(table.n_weights), WIDTHS.index(bits))
    return _result(table, choice, f"{bits} bits", table.bytes_of(choice), time.perf_counter())


def thresholds(table: SensitivityTable, budget_bytes: float) -> BitPolicy:
    """The widths of least proxy loss that never fall as the mean trace rises, exact up to the reported bound.

    No agent that cuts the sorted list has a lower proxy loss than that bound; by another loss it may do better.
    """
    check_budget(table, budget_bytes)
    started = time.perf_counter()
    order = trace_order(table)
    loss, size = table.loss[order], table.weight_bytes[order]
    best, bound = _bisect(partial(_monotone, loss, size), loss, size, budget_bytes)
    best = _fill_monotone(loss, size, best, budget_bytes)
    choice = np.empty_like(best)
    choice[order] = best
    return _result(table, choice, "thresholds", budget_bytes, started, bound)


# by name, as recipes and `--allocator` have it; the agents, who need the loss of a policy, are in agents.py
CLOSED_FORM: dict[AllocatorName, Allocator] = {
    "uniform": uniform,
    "hawq_v2": hawq_v2,
    "thresholds": thresholds,
    "knapsack": knapsack,
}


def check_budget(table: SensitivityTable, budget_bytes: float) -> None:
    """Refuses what no allocator can keep.

    Raises:
        DataError: 2 bits everywhere are over the budget.
    """
    least = table.bytes_of(np.zeros(len(table.n_weights), dtype=np.int64))
    if least > budget_bytes:
        raise DataError(
            f"budget of {budget_bytes / 1024:.1f} KiB: 2 bits everywhere take {least / 1024:.1f}; expected more"
        )


def trace_order(table: SensitivityTable) -> Choice:
    """Channels from the least to the largest mean trace."""
    return np.argsort(table.mean_trace, kind="stable")


def _monotone(loss: NDArray[np.float64], size: NDArray[np.float64], price: float) -> Choice:
    """Of all non-decreasing choices along the rows, the one of least loss + price x size, by dynamic programming."""
    cost = loss + price * size  # (n, widths)
    # reach[i, w]: least cost of rows 0..i where row i has width w; from[i, w]: the width of row i - 1
    reach = np.cumsum(cost, axis=0)
    n, widths = cost.shape
    # with all rows in width w up to i, or coming from width w - 1 at some row: solved a width at a time
    best = reach[:, 0].copy()
    switch = np.zeros((widths, n), dtype=np.int64)  # first row that has width w, when row i ends in it
    for w in range(1, widths):
        before = np.concatenate(([0.0], best[:-1]))  # rows up to i - 1 in widths below w
        saved = before - np.concatenate(([0.0], reach[:-1, w]))
        # the row at which to change into w: the least of `saved` so far
        where = _running_argmin(saved)
        entered = reach[:, w] + saved[where]
        stay = best
        takes = entered < stay
        switch[w] = np.where(takes, where, np.arange(n) + 1)
        best = np.where(takes, entered, stay)
    choice = np.zeros(n, dtype=np.int64)
    end = n
    for w in range(widths - 1, 0, -1):
        if end == 0:
            break
        start = int(switch[w][end - 1])
        choice[start:end] = w
        end = min(end, start)
    return choice


def _running_argmin(values: NDArray[np.float64]) -> Choice:
    least = np.minimum.accumulate(values)
    new = np.concatenate(([True], values[1:] < least[:-1]))
    return np.maximum.accumulate(np.where(new, np.arange(len(values)), 0))


def _lagrangian(loss: NDArray[np.float64], size: NDArray[np.float64], budget: float) -> tuple[Choice, float]:
    return _bisect(lambda price: (loss + price * size).argmin(axis=1), loss, size, budget)


def _bisect(
    solve: Callable[[float], Choice], loss: NDArray[np.float64], size: NDArray[np.float64], budget: float
) -> tuple[Choice, float]:
    """The choice at the lowest price of bytes that keeps the budget, and the best lower bound met on the way."""
    rows = np.arange(len(loss))
    if size[:, -1].sum() <= budget:
        whole = np.full(len(loss), size.shape[1] - 1)
        return whole, float(loss[rows, whole].sum())
    low, high = -60.0, 60.0  # log of the price
    best, bound = np.zeros(len(loss), dtype=np.int64), -np.inf
    for _ in range(_STEPS):
        middle = (low + high) / 2
        price = float(np.exp(middle))
        choice = solve(price)
        spent = float(size[rows, choice].sum())
        bound = max(bound, float(loss[rows, choice].sum()) + price * (spent - budget))
        if spent <= budget:
            best, high = choice, middle
        else:
            low = middle
    return best, bound


def _fill(loss: NDArray[np.float64], size: NDArray[np.float64], choice: Choice, budget: float) -> Choice:
    """Spends what is left, best gain a byte first, one width up at a time."""
    choice, rows = choice.copy(), np.arange(len(loss))
    left = budget - float(size[rows, choice].sum())
    top = size.shape[1] - 1
    while True:
        up = np.minimum(choice + 1, top)
        price = size[rows, up] - size[rows, choice]
        gain = np.where((price > 0) & (price <= left), loss[rows, choice] - loss[rows, up], -1.0)
        row = int(np.argmax(gain / np.maximum(price, 1e-12)))
        if gain[row] <= 0:
            return choice
        choice[row] += 1
        left -= float(price[row])


def _fill_monotone(loss: NDArray[np.float64], size: NDArray[np.float64], choice: Choice, budget: float) -> Choice:
    """Spends what is left by moving the cuts down, as far as each still fits; the order of widths stays."""
    choice, rows = choice.copy(), np.arange(len(loss))
    left = budget - float(size[rows, choice].sum())
    while True:
        best = None
        for w in range(size.shape[1] - 1):
            members = np.flatnonzero(choice == w)
            if len(members):
                row = members[-1]  # the last of its width goes one up
                up = w + 1
                price, gain = size[row, up] - size[row, w], loss[row, w] - loss[row, up]
                if price <= left and gain > 0 and (best is None or gain / price > best[0]):
                    best = (gain / price, row, price)
        if best is None:
            return choice
        choice[best[1]] += 1
        left -= float(best[2])


def _result(
    table: SensitivityTable, choice: Choice, name: str, budget: float, started: float, bound: float | None = None
) -> BitPolicy:
    return table.policy(choice, name, budget, bound=bound, seconds=time.perf_counter() - started)
