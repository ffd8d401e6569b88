"""Which groups go next: pure decisions from scores, with a floor for every layer."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from fer_host.prune.channels import Channels
from fer_host.prune.config import Floor


def widths(channels: Channels) -> dict[str, int]:
    """Output channels of every layer."""
    return {name: len(use.outputs) for name, use in channels.layers.items()}


def choose(
    channels: Channels,
    scores: dict[int, float],
    gates: Collection[str],
    n_filters: int,
    start_widths: dict[str, int],
    floor: Floor,
) -> list[int]:
    """The least important groups that together remove at least ``n_filters`` gates, no layer below its floor.

    Args:
        channels: of the network as it is now.
        scores: by group, see ``group_scores``; only these may go.
        gates: names of the batch norms; their channels are the filters that are counted, as the thesis does.
        n_filters: to remove.
        start_widths: output channels of every layer before any pruning.
        floor: what every layer keeps.

    Returns:
        Groups in the order of their scores; fewer than asked for where the floors leave no more.
    """
    left = widths(channels)
    in_layers: dict[int, list[tuple[str, int]]] = {}
    for name, use in channels.layers.items():
        roots, counts = np.unique(channels.roots(use.outputs), return_counts=True)
        for root, count in zip(roots.tolist(), counts.tolist(), strict=True):
            in_layers.setdefault(root, []).append((name, count))
    chosen, removed = [], 0
    for root in sorted(scores, key=lambda group: (scores[group], group)):
        if removed >= n_filters:
            break
        uses = in_layers[root]
        if any(left[name] - count < floor.of(start_widths[name]) for name, count in uses):
            continue
        for name, count in uses:
            left[name] -= count
            removed += count if name in gates else 0
        chosen.append(root)
    return chosen
