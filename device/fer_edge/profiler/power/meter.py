"""A USB meter's CSV: columns for time, voltage and current (or power), aligned with the run by a step in the load.

There is no standard; a header names the columns (time or t in s or ms, voltage or V, current or A, power or W).
"""

from __future__ import annotations

import csv
import itertools
import re
from pathlib import Path

import numpy as np

from fer_edge.contract.bounds import METER_BYTES as _MAX_BYTES
from fer_edge.errors import UsageError
from fer_edge.profiler.power.energy import Sample

_NAMES = {
    "time": {"time", "t", "timestamp", "s", "ms"},
    "volt": {"v", "u", "vbus", "voltage", "volt", "volts", "mv"},
    "ampere": {"a", "i", "ibus", "current", "amp", "amps", "ma"},
    "watt": {"w", "p", "power", "watt", "watts", "mw"},
}
_THOUSANDTHS = {"ms", "mv", "ma", "mw"}
_SKIPPED = {"elapsed", "relative", "bus"}


def read_meter(path: Path) -> list[Sample]:
    """The meter's samples, time in s from its own first one.

    Raises:
        UsageError: no file, no such columns, or a line that is no number.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{path}: found {path.stat().st_size >> 20} MiB, expected a meter's CSV below 256 MiB")
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; expected a USB meter's CSV") from error
    if not lines:
        raise UsageError(f"{path}: empty; expected a USB meter's CSV")
    dialect = ";" if lines[0].count(";") > lines[0].count(",") else "\t" if "\t" in lines[0] else ","
    rows = list(csv.reader(lines, delimiter=dialect))
    columns = _columns(path, rows[0])
    samples = []
    for n, row in enumerate(rows[1:], 2):
        if any(cell.strip() for cell in row):
            samples.append(_sample(path, n, row, columns))
    if len(samples) < 2 or any(b.t_s <= a.t_s for a, b in itertools.pairwise(samples)):
        raise UsageError(f"{path}: expected at least two lines, times rising")
    start = samples[0].t_s
    return [Sample(sample.t_s - start, sample.w) for sample in samples]


def align(samples: list[Sample], load_starts_s: float) -> list[Sample]:
    """Moves the meter's clock so that its largest rise in power falls on the moment when the load began.

    The rise is the largest difference between the means of a second before and of a second after.

    Raises:
        UsageError: the power never rises.
    """
    times = np.array([sample.t_s for sample in samples])
    sums = np.concatenate([[0.0], np.cumsum([sample.w or 0.0 for sample in samples])])
    here = np.arange(len(samples))
    left, right = np.searchsorted(times, times - 1), np.searchsorted(times, times + 1)
    before = (sums[here] - sums[left]) / np.maximum(here - left, 1)
    after = (sums[right] - sums[here]) / np.maximum(right - here, 1)
    rise = np.where(here > left, after - before, -np.inf)
    if len(rise) < 3 or rise.max() <= 0:
        raise UsageError("the meter's CSV: its power never rises; expected the start of the load in it")
    shift = load_starts_s - float(times[int(rise.argmax())])
    return [Sample(sample.t_s + shift, sample.w) for sample in samples]


def _columns(path: Path, header: list[str]) -> dict[str, tuple[int, float]]:
    """By role: (index, factor to s, V, A, W)."""
    found: dict[str, tuple[int, float]] = {}
    for i, cell in enumerate(header):
        words = [word for word in re.findall("[a-z]+", cell.lower()) if word not in _SKIPPED]
        for role, names in _NAMES.items():
            if words and words[0] in names and role not in found:
                found[role] = i, 1e-3 if words[-1] in _THOUSANDTHS else 1.0
    if "time" not in found or not ("watt" in found or {"volt", "ampere"} <= set(found)):
        raise UsageError(
            f"{path}: found the columns {', '.join(header)[:200]}; expected time, and power or voltage and current"
        )
    return found


def _sample(path: Path, n: int, row: list[str], columns: dict[str, tuple[int, float]]) -> Sample:
    try:
        value = {role: float(row[i]) * factor for role, (i, factor) in columns.items()}
    except (ValueError, IndexError):
        raise UsageError(f"{path}:{n}: found {','.join(row)[:80]!r}; expected numbers in every column") from None
    return Sample(value["time"], value["watt"] if "watt" in value else value["volt"] * value["ampere"])
