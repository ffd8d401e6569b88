"""Pictures of a bit policy: traces by channel (the thesis' figure 4-2), bits by layer, accuracy against size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.contract.whole import whole_file
from fer_host.quantize.grid import WIDTHS
from fer_host.quantize.policy import BitPolicy
from fer_host.quantize.sensitivity import SensitivityTable

_BELOW = 0.05  # of an accuracy


def plot_traces(table: SensitivityTable, path: Path, title: str) -> None:
    """Mean trace of every channel, layer after layer, on a logarithmic axis."""
    figure, axes = _figure((11, 4))
    position = np.arange(len(table.mean_trace))
    axes.scatter(position, table.mean_trace, s=2, c=table.layer_of % 2, cmap="coolwarm")
    axes.set_yscale("log")
    axes.set_xlabel("output channel, in the network's order (colors change with the layer)")
    axes.set_ylabel("mean trace of the Hessian block")
    axes.set_title(title)
    _save(figure, path)


def plot_bits(policy: BitPolicy, path: Path, title: str) -> None:
    """Share of each width among every layer's channels."""
    figure, axes = _figure((11, 4))
    bottom = np.zeros(len(policy.bits))
    for width in WIDTHS:
        share = np.array([bits.count(str(width)) / len(bits) for bits in policy.bits.values()])
        axes.bar(range(len(share)), share, bottom=bottom, label=f"{width}", width=1.0)
        bottom += share
    axes.set_xlabel("layer")
    axes.set_ylabel("share of its channels")
    axes.set_title(title)
    axes.legend(title="bits", loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save(figure, path)


def plot_sizes(
    points: Mapping[str, list[tuple[float, float]]], path: Path, title: str, ylabel: str, level: float | None = None
) -> None:
    """One line an allocator through (effective KiB, value), and a level line for float, whose size is off the axis.

    Values more than ``_BELOW`` under that level would press all others into one line: they are written at the edge.
    """
    figure, axes = _figure((7, 5))
    edge = -np.inf if level is None else level - _BELOW
    for name, line in points.items():
        sizes, values = zip(*sorted(line), strict=True)
        (drawn,) = axes.plot(sizes, values, "o-", label=name)
        for size, value in line:
            if value < edge:
                axes.annotate(
                    f"{value:.1%} ↓", (size, edge), color=drawn.get_color(), xytext=(3, 4), textcoords="offset points"
                )
    if level is not None:
        axes.axhline(level, color="gray", linestyle="--", label="float")
        axes.set_ylim(bottom=edge if any(value < edge for line in points.values() for _, value in line) else None)
    axes.set_xlabel("effective size of weights, KiB")
    axes.set_ylabel(ylabel)
    axes.set_title(title)
    axes.legend()
    axes.grid(alpha=0.3)
    _save(figure, path)


def plot_search(curves: Mapping[str, list[tuple[int, float, float]]], path: Path, title: str) -> None:
    """Learning curves of agents: (episode, loss, best so far)."""
    figure, axes = _figure((7, 5))
    for name, curve in curves.items():
        episodes, losses, best = zip(*curve, strict=True)
        (line,) = axes.plot(episodes, losses, ".", ms=2, alpha=0.5)
        axes.plot(episodes, best, color=line.get_color(), label=f"{name}, best so far")
    axes.set_xlabel("episode")
    axes.set_ylabel("loss on held-out training images")
    axes.set_title(title)
    axes.legend()
    _save(figure, path)


def _figure(size: tuple[float, float]) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=size, dpi=110)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure.tight_layout()
    with whole_file(path) as file:
        figure.savefig(file, format="png")
    pyplot.close(figure)
