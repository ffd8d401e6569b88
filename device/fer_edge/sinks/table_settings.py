"""The ``[csv]`` and ``[metrics]`` tables, which are read without what does the work."""

from __future__ import annotations

from dataclasses import dataclass

from fer_edge.contract.limits import Limited


@dataclass(frozen=True)
class CsvSettings(Limited):
    """The ``[csv]`` table.

    Args:
        path: file to append a row per face to; "-" is standard output, "" writes none.
    """

    path: str = ""


@dataclass(frozen=True)
class MetricsSettings(Limited):
    """The ``[metrics]`` table. Address, port and token are those of ``[web]``.

    Args:
        enabled: serve ``/metrics``.
    """

    enabled: bool = False
