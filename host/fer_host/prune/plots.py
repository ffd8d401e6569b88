"""Pictures of a pruning run: channels before and after, accuracy against MACs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.contract.whole import whole_file

if TYPE_CHECKING:
    from fer_host.prune.state import Step


def plot_channels(before: dict[str, int], after: dict[str, int], path: Path, title: str) -> None:
    """Output channels of every convolution, before and after, as a PNG."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(10, 3.6), dpi=110)
    places = range(len(before))
    axes.bar(places, list(before.values()), color="#c8d3e0", label="before")
    axes.bar(places, [after[name] for name in before], color="#2b6cb0", label="after")
    axes.set_xlabel("convolution, in order of execution")
    axes.set_ylabel("output channels")
    axes.set_title(title)
    axes.legend()
    _save(figure, path)


def plot_accuracy(lines: list[Step], path: Path, title: str) -> None:
    """Accuracy on the validation rows against MACs, one point per step where it was measured, as a PNG."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(6, 4), dpi=110)
    measured = [line for line in lines if line.accuracy is not None]
    axes.plot([line.macs / 1e6 for line in measured], [100 * (line.accuracy or 0) for line in measured], "-o", ms=4)
    axes.annotate("recovered", (measured[-1].macs / 1e6, 100 * (measured[-1].accuracy or 0)))
    axes.set_xlabel("M MACs")
    axes.set_ylabel("accuracy on validation rows, %")
    axes.set_title(title)
    _save(figure, path)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    with whole_file(path) as file:
        figure.savefig(file, format="png")
