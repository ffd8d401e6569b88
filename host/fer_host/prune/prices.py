"""What removing a group would save, priced by what the budget still lacks.

The thesis ranks filters by importance alone. Late filters then go first, which hold many parameters and few MACs, and
a limit on MACs is met long after the limit on parameters. Importance per unit of what is still over the budget removes
fewer filters for the same budget, which a budget in milliseconds needs: late filters take little time. Where only MACs
count, the thesis' ranking left the better network (benchmarks/results/pruning.md).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fer_host.models.blank_run import blank_run
from fer_host.prune.channels import Channels
from fer_host.prune.choose import groups_alike
from fer_host.prune.costs import Cost
from fer_host.prune.surgery import slice_network
from fer_host.recipe.prune import Budget


@dataclass(frozen=True)
class Saving:
    """What leaves with a group, if only this group left; milliseconds as ``group_ms`` has them."""

    parameters: float
    macs: float
    ms: float = 0.0


def group_savings(network: nn.Module, channels: Channels, in_channels: int, size_px: int) -> dict[int, Saving]:
    """Saving of each group, by what it stands for; convolutions and linear layers count.

    Args:
        network: as it is now; run once on a blank picture.
        channels: of this network.
        in_channels: of its input.
        size_px: side of its input.
    """
    found: dict[int, list[float]] = {}
    positions = _positions(network, in_channels, size_px)
    for name, use in channels.layers.items():
        layer = network.get_submodule(name)
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        inputs, outputs = _count(channels.roots(use.inputs)), _count(channels.roots(use.outputs))
        kernel = int(np.prod(layer.weight.shape[2:])) if layer.weight.dim() > 2 else 1
        depthwise = isinstance(layer, nn.Conv2d) and layer.groups > 1
        for root in {**inputs, **outputs}:
            n_in, n_out = inputs.get(root, 0), outputs.get(root, 0)
            if depthwise:
                weights = float(n_out * kernel)
            else:
                weights = float(kernel * (n_out * len(use.inputs) + n_in * len(use.outputs) - n_out * n_in))
            total = found.setdefault(root, [0.0, 0.0])
            total[0] += weights
            total[1] += weights * positions[name]
    return {root: Saving(*total) for root, total in found.items()}


def group_ms(
    network: nn.Module, channels: Channels, roots: Collection[int], ms: Callable[[nn.Module], float]
) -> dict[int, float]:
    """Milliseconds that leave with each group: half of the groups of the same layers are cut, and share what it saves.

    Kernels compute whole tiles of channels, so that one channel less saves nothing and the last of a tile much.

    Args:
        network: as it is now.
        channels: of this network.
        roots: groups that may go.
        ms: of a network on the board.
    """
    now = ms(network)
    found = {}
    for alike in groups_alike(channels, roots).values():
        half = alike[: len(alike) // 2]
        saved = (now - ms(slice_network(network, channels, half))) / len(half) if half else 0.0
        found.update(dict.fromkeys(alike, max(saved, 0.0)))
    return found


def per_cost(
    scores: dict[int, float], savings: dict[int, Saving], now: Cost, start: Cost, budget: Budget
) -> dict[int, float]:
    """Scores divided by what each group saves of what is still over the budget.

    Args:
        scores: by group.
        savings: by group.
        now: of the network as it is.
        start: of the network before any pruning; shares are of this.
        budget: bytes are priced like parameters.
    """
    over_parameters = max(
        _over(budget.parameters, now.parameters / start.parameters),
        _over(budget.int8_kib, now.int8_kib) / start.int8_kib,
    )
    over_macs = _over(budget.macs, now.macs / start.macs)
    start_ms = start.ms or 1.0
    over_ms = _over(budget.ms, now.ms or 0.0) / start_ms
    priced = {}
    for root, score in scores.items():
        saving = savings.get(root, Saving(0.0, 0.0))
        cost = over_parameters * saving.parameters / start.parameters + over_macs * saving.macs / start.macs
        cost += over_ms * saving.ms / start_ms
        priced[root] = score / max(cost, 1e-12)
    return priced


def _over(limit: float | None, found: float) -> float:
    return 0.0 if limit is None else max(0.0, found - limit)


def _count(roots: NDArray[np.int64]) -> dict[int, int]:
    values, counts = np.unique(roots, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _positions(network: nn.Module, in_channels: int, size_px: int) -> dict[str, int]:
    """Output positions of every convolution and linear layer."""
    found: dict[str, int] = {}

    def look(name: str, _: nn.Module, output: torch.Tensor) -> None:
        found[name] = output[0].numel() // output.shape[1]

    blank_run(network, in_channels, size_px, (nn.Conv2d, nn.Linear), look)
    return found
