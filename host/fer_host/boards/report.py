"""``fer-host report``: figures across boards and models, from the files that ``fer-edge bench`` wrote.

fleet.py decides which of the boards that should be the same is not.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_edge.contract import bench, latency
from fer_edge.contract.bench import BenchDoc
from fer_edge.contract.errors import SchemaError
from fer_edge.contract.latency import LatencyDoc
from fer_edge.contract.regular import read_regular
from fer_edge.contract.whole import whole_file
from fer_host.boards import fleet
from fer_host.boards.fleet import Named, headline
from fer_host.errors import DataError

MIB = 1 << 20
_COLORS = ("#1f6feb", "#d1495b", "#2e8b57", "#e69500", "#6f42c1", "#17a2b8", "#8a6d3b", "#5b6670")
_MARKERS = "osD^vPX*"


@dataclass(frozen=True)
class Figure:
    """One picture: accuracy against something; None where a file does not say it."""

    file: str
    label: str
    value: Callable[[BenchDoc], float | None]


FIGURES = (
    Figure("accuracy-latency.png", "median time, ms", lambda d: headline(d)[1]),
    Figure("accuracy-size.png", "network file, MiB", lambda d: d.memory.model_bytes / MIB),
    Figure("accuracy-energy.png", "energy per frame, mJ", lambda d: d.power.energy_mj_per_frame if d.power else None),
)


def write_report(files: Sequence[Path], out: Path) -> list[Path]:
    """Writes ``report.md`` and a PNG for every figure that at least one file has the numbers for.

    Raises:
        DataError: a file that is none of ``fer-edge bench``, or the same one twice.
    """
    found = read_all(files)
    documents = [named.document for named in found if isinstance(named.document, BenchDoc)]
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for figure in FIGURES:
        points = [(d, x, y) for d in documents if (x := figure.value(d)) is not None and (y := accuracy(d)) is not None]
        if points:
            _plot(points, figure, out / figure.file)
            written.append(out / figure.file)
    text = as_markdown(found, [path.name for path in written])
    _replace(out / "report.md", lambda path: path.write_text(text))
    return [out / "report.md", *written]


def accuracy(document: BenchDoc) -> float | None:
    """Measured on the board, else where the bundle was made; None where nobody measured it."""
    if document.accuracy is not None:
        return document.accuracy.accuracy
    return document.metrics[0].accuracy if document.metrics else None


def as_markdown(found: Sequence[Named], figures: Sequence[str]) -> str:
    """The table, fastest of each board first; then, of boards that should be the same, percentiles and odd ones."""
    documents = [named.document for named in found if isinstance(named.document, BenchDoc)]
    spreads = fleet.spreads(found)
    return (_table(documents, figures) if documents else "# Boards\n") + (
        "\n" + fleet.as_markdown(spreads) if spreads else ""
    )


def _table(documents: Sequence[BenchDoc], figures: Sequence[str]) -> str:
    lines = [
        "# Boards and networks",
        "",
        "Written by `fer-host report`. Times are medians; accuracy is the bundle's, measured where it was made, unless "
        "marked *here*. Rows of different modes (network alone, pipeline) do not compare.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---" * len(COLUMNS) + "|",
    ]
    lines += [_row(d) for d in sorted(documents, key=lambda d: (d.board, d.mode or "", headline(d)[1]))]
    lines += ["", *(f"![{name}]({name})\n" for name in figures)]
    return "\n".join(lines) + "\n"


def _row(d: BenchDoc) -> str:
    return "| " + " | ".join(cell(d).replace("|", "\\|") for cell in COLUMNS.values()) + " |"


def _accuracy(d: BenchDoc) -> str:
    found = accuracy(d)
    return "-" if found is None else f"{found:.2%}{' *here*' if d.accuracy is not None else ''}"


def _energy(d: BenchDoc) -> str:
    if d.power is None:
        return "not measured"
    net = "" if d.power.net_mj_per_frame is None else f" ({d.power.net_mj_per_frame:.1f})"
    return f"{d.power.energy_mj_per_frame:.1f}{net}, {d.power.probe}"


# title -> what stands in it; to add a column, add a row here
COLUMNS: dict[str, Callable[[BenchDoc], str]] = {
    "board": lambda d: f"{d.board} ({d.cpu})",
    "network": lambda d: d.model_id or "-",
    "variant": lambda d: d.variant,
    "threads": lambda d: str(d.threads),
    "mode": lambda d: d.mode or "-",
    "ms": lambda d: f"{headline(d)[1]:.2f}",
    "p95 ms": lambda d: f"{d.stages[headline(d)[0]].p95_ms:.2f}",
    "per second": lambda d: f"{d.fps:.1f}",
    "accuracy": _accuracy,
    "file MiB": lambda d: f"{d.memory.model_bytes / MIB:.2f}",
    "PSS MiB": lambda d: "-" if d.memory.pss_bytes is None else f"{d.memory.pss_bytes / MIB:.0f}",
    "W": lambda d: "-" if d.power is None else f"{d.power.mean_w:.2f}",
    "mJ per frame (above idle)": _energy,
    "remarks": lambda d: "; ".join([*(["**emulated**"] if d.emulated else []), *d.tainted]) or "-",
}


def read_all(files: Sequence[Path]) -> list[Named]:
    """Benches and tables of operators, with the boards that their files name.

    Raises:
        DataError: a file that is neither, or the same one twice.
    """
    twice = next((path for path in files if files.count(path) > 1), None)
    if twice is not None:
        raise DataError(f"{twice}: given twice; expected one file for each board")
    return [Named(name, _read(path)) for name, path in zip(fleet.names_of(files), files, strict=True)]


def _read(path: Path) -> BenchDoc | LatencyDoc:
    expected = "expected a file of fer-edge bench --out FILE.json, or the table of bench --per-op"
    try:
        text = read_regular(path)
        return latency.loads(text) if _schema(text) == latency.SCHEMA else bench.loads(text)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; {expected}") from error
    except SchemaError as error:
        raise DataError(f"{path}: {error}; {expected}") from error


def _schema(text: bytes) -> object:
    with contextlib.suppress(ValueError, AttributeError):
        return json.loads(text).get("schema")
    return None  # whoever reads it says what is wrong


def _plot(points: Sequence[tuple[BenchDoc, float, float]], figure: Figure, target: Path) -> None:
    """One color per board, one mark per network, a name at each point."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    boards = list(dict.fromkeys(d.board for d, _, _ in points))
    models = list(dict.fromkeys(d.model_id or "bundle" for d, _, _ in points))
    picture, axes = plt.subplots(figsize=(7, 4.5), dpi=120)
    for d, x, y in points:
        color = _COLORS[boards.index(d.board) % len(_COLORS)]
        marker = _MARKERS[models.index(d.model_id or "bundle") % len(_MARKERS)]
        face = "none" if d.tainted or d.emulated else color
        axes.scatter(x, y * 100, edgecolors=color, facecolors=face, marker=marker, s=46, zorder=3)
        axes.annotate(f"{d.variant} x{d.threads}", (x, y * 100), textcoords="offset points", xytext=(6, 4), fontsize=8)
    handles: list[Any] = [
        plt.Line2D([], [], color=_COLORS[i % len(_COLORS)], marker="s", linestyle="", label=name)
        for i, name in enumerate(boards)
    ]
    handles += [
        plt.Line2D([], [], color="#555", marker=_MARKERS[i % len(_MARKERS)], linestyle="", label=name)
        for i, name in enumerate(models)
    ]
    axes.legend(handles=handles, fontsize=8, loc="best")
    axes.set_xscale("log" if max(x for _, x, _ in points) > 8 * min(x for _, x, _ in points) else "linear")
    axes.set_xlabel(f"{figure.label} (hollow: disturbed or emulated)")
    axes.set_ylabel("accuracy, %")
    axes.grid(visible=True, alpha=0.3)
    picture.tight_layout()
    _replace(target, lambda path: picture.savefig(path, format="png"))
    plt.close(picture)


def _replace(target: Path, write: Callable[[Path], object]) -> None:
    """Writes beside the target and renames."""
    with whole_file(target) as file:
        write(file)
