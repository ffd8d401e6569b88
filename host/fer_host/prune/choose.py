"""Which groups go next: pure decisions from scores, with a floor for every layer."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from fer_host.prune.channels import Channels
from fer_host.recipe.prune import Floor


def widths(channels: Channels) -> dict[str, int]:
    """Output channels of every layer."""
    return {name: len(use.outputs) for name, use in channels.layers.items()}


def layers_of_groups(channels: Channels) -> dict[int, list[tuple[str, int]]]:
    """Group -> the layers that it has outputs of, and how many."""
    found: dict[int, list[tuple[str, int]]] = {}
    for name, use in channels.layers.items():
        roots, counts = np.unique(channels.roots(use.outputs), return_counts=True)
        for root, count in zip(roots.tolist(), counts.tolist(), strict=True):
            found.setdefault(root, []).append((name, count))
    return found


def groups_alike(channels: Channels, roots: Iterable[int]) -> dict[tuple[tuple[str, int], ...], list[int]]:
    """Groups by the layers (and how many channels of each) that they have outputs of, in the given order."""
    in_layers = layers_of_groups(channels)
    found: dict[tuple[tuple[str, int], ...], list[int]] = {}
    for root in roots:
        found.setdefault(tuple(in_layers[root]), []).append(root)
    return found


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
    left, in_layers = widths(channels), layers_of_groups(channels)
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


def round_off(
    channels: Channels,
    scores: dict[int, float],
    gone: Collection[int],
    multiple: int,
    start_widths: dict[str, int],
    floor: Floor,
) -> list[int]:
    """Groups to remove as well, so that layers keep a multiple of so many channels; the least important first.

    Layers whose pinned channels or floors do not allow it keep what they have.

    Args:
        channels: of the network as it is now.
        scores: by group; only these may go.
        gone: groups that go already.
        multiple: of channels; with 1 nothing is rounded.
        start_widths: output channels of every layer before any pruning.
        floor: what every layer keeps.
    """
    left, in_layers = widths(channels), layers_of_groups(channels)
    for root in gone:
        for name, count in in_layers[root]:
            left[name] -= count
    ranked = sorted(set(scores) - set(gone), key=lambda group: (scores[group], group))
    extra = []
    for uses, roots in groups_alike(channels, ranked).items():
        # as many as bring every layer of theirs to a multiple, if some number does
        for n in range(min(multiple, len(roots) + 1)):
            after = {name: left[name] - n * count for name, count in uses}
            if any(width < floor.of(start_widths[name]) for name, width in after.items()):
                break
            if all(width % multiple == 0 for width in after.values()):
                extra += roots[:n]
                left |= after
                break
    return extra
