"""Does a network answer as well for one group of people as for another? Figures by group, each with its interval."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fer_edge.contract.evaluate import Group
from fer_edge.contract.whole import whole_file
from fer_host.errors import DataError
from fer_host.evaluate.intervals import wilson
from fer_host.evaluate.judged import Judged

_KEYS = ("image", "file", "path", "person")
_MISSING = ("", "na", "n/a", "nan", "none", "unknown")
_MOST_VALUES = 8  # of numbers; more become thirds


def read_groups(path: Path, images: Sequence[str]) -> dict[str, list[str]]:
    """Column -> the value of each image, "" where the table has none; numbers of many values become thirds.

    Args:
        path: a CSV. Its column ``image`` holds a picture's path or name, or its column ``person`` what pictures' names
            start with (``001`` for ``001_08.jpg``); each other column is one way to group.
        images: as ``Judged.images``.

    Raises:
        DataError: no table, no such column, or no image of it found.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"--groups {path}: cannot be read as CSV ({error})") from error
    header = [name for name in (rows[0] if rows else {}) if name]
    key = next((name for name in header if name.strip().lower() in _KEYS), None)
    columns = [name for name in header if name != key]
    if key is None or not columns:
        raise DataError(
            f"--groups {path}: found the columns {', '.join(header) or 'none'}; expected image or person, and groups"
        )
    by_key = {(row[key] or "").strip(): row for row in rows}
    found = [_row_of(image, by_key, key.strip().lower() == "person") for image in images]
    if not any(found):
        raise DataError(f"--groups {path}: none of its {len(rows)} rows is of these pictures, e.g. {images[0]!r}")
    return {name: _binned([_value(row, name) for row in found]) for name in columns}


def _value(row: dict[str, str] | None, column: str) -> str:
    value = (row.get(column) or "").strip() if row else ""
    return "" if value.lower() in _MISSING else value


def _row_of(image: str, by_key: Mapping[str, dict[str, str]], is_person: bool) -> dict[str, str] | None:
    path = Path(image)
    if not is_person:
        return next((by_key[name] for name in (image, path.name, path.stem) if name in by_key), None)
    parts = re.split(r"[_\-. ]", path.name)
    return by_key.get(parts[0])


def _binned(values: list[str]) -> list[str]:
    """Numbers of many different values as thirds; anything else as it is."""
    known = [value for value in values if value]
    try:
        numbers = np.array([float(value) for value in known])
    except ValueError:
        return values
    if len(set(known)) <= _MOST_VALUES:
        return values
    low, high = np.quantile(numbers, (1 / 3, 2 / 3), method="lower")
    bounds = ((-np.inf, low), (low, high), (high, np.inf))

    def named(number: float) -> str:
        first, last = next(bound for bound in bounds if number <= bound[1])
        inside = numbers[(numbers > first) & (numbers <= last)]
        return f"{inside.min():g} to {inside.max():g}"

    return [named(float(value)) if value else "" for value in values]


def by_group(judged: Judged, columns: Mapping[str, list[str]]) -> tuple[Group, ...]:
    """Figures of every group with a value; columns with the largest gap in accuracy first, lowest group first."""
    hits = judged.probabilities.argmax(axis=1) == judged.labels
    truth = judged.probabilities[np.arange(len(judged.labels)), judged.labels]
    found: list[list[Group]] = []
    for column, values in columns.items():
        groups = []
        for value in sorted({value for value in values if value}):
            mask = np.array([each == value for each in values])
            low, high = wilson(int(hits[mask].sum()), int(mask.sum()))
            recall = {
                name: round(float(hits[mask & (judged.labels == i)].mean()), 6)
                for i, name in enumerate(judged.names)
                if (mask & (judged.labels == i)).any()
            }
            accuracy, p = float(hits[mask].mean()), float(truth[mask].mean())
            interval = (round(low, 6), round(high, 6))
            groups.append(Group(column, value, int(mask.sum()), round(accuracy, 6), interval, round(p, 6), recall))
        found.append(sorted(groups, key=lambda group: group.accuracy))
    found.sort(key=lambda groups: -gap(groups))
    return tuple(group for groups in found for group in groups)


def gap(groups: Sequence[Group]) -> float:
    """Between the highest and the lowest accuracy."""
    return max((g.accuracy for g in groups), default=0.0) - min((g.accuracy for g in groups), default=0.0)


def format_groups(groups: Sequence[Group]) -> str:
    """For the terminal and for Markdown: a table, largest gap first."""
    names = sorted({name for group in groups for name in group.recall})
    lines = [
        "| column | group | n | accuracy | 95% interval | mean p of the true label | "
        f"{' | '.join(f'recall {name}' for name in names)} |"
    ]
    lines.append("|---" * (6 + len(names)) + "|")
    for g in groups:
        low, high = g.interval
        recalls = [f"{g.recall[name]:.1%}" if name in g.recall else "-" for name in names]
        lines.append(
            f"| {g.column} | {g.value} | {g.n} | {g.accuracy:.1%} | {low:.1%} to {high:.1%} | "
            f"{g.mean_probability:.3f} | {' | '.join(recalls)} |"
        )
    lines += ["", chance_note(groups)]
    return "\n".join(lines) + "\n"


def chance_note(groups: Sequence[Group]) -> str:
    """How likely chance alone makes a gap as large as that between a column's lowest and highest group, in words."""
    from scipy.stats import fisher_exact

    columns: dict[str, list[Group]] = {}
    for group in groups:
        columns.setdefault(group.column, []).append(group)
    parts = []
    for name, own in columns.items():
        if len(own) > 1:
            low, high = own[0], own[-1]
            table = [[round(g.accuracy * g.n), g.n - round(g.accuracy * g.n)] for g in (low, high)]
            parts.append(f"{name} ({low.value} against {high.value}) p = {float(fisher_exact(table).pvalue):.2g}")
    return (
        "Chance alone would make a gap as large between a column's lowest and highest group with (Fisher's exact test, "
        f"not corrected for having picked the extremes): {'; '.join(parts) or 'nothing to compare'}."
    )


def plot_groups(groups: Sequence[Group], path: Path, title: str) -> None:
    """Accuracy of each group with its interval, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 1.2 + 0.32 * len(groups)), dpi=110)
    for i, group in enumerate(groups):
        low, high = group.interval
        axes.plot([low, high], [i, i], color="tab:blue")
        axes.plot([group.accuracy], [i], "o", color="tab:blue")
    axes.set_yticks(range(len(groups)), [f"{g.column}: {g.value} (n = {g.n})" for g in groups])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("accuracy, with its 95% interval")
    axes.set_title(title)
    figure.tight_layout()
    with whole_file(path) as file:
        figure.savefig(file, format="png")
    pyplot.close(figure)
