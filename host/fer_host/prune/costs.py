"""What a network costs, in the units that budgets are stated in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from fer_host.models.counts import counts
from fer_host.recipe.prune import Budget

_LAYER_BYTES = 1000  # 560 in MobileNetV2 to 1560 in ShuffleNetV2


@dataclass(frozen=True)
class Cost:
    """Of one network; ``ms`` only where a latency table was given."""

    parameters: int
    macs: int
    int8_kib: float
    ms: float | None = None


def cost_of(network: nn.Module, in_channels: int, size_px: int, ms: Callable[[nn.Module], float] | None = None) -> Cost:
    """Counts a network at its own input size.

    The int8 file is estimated: one byte a weight; for every output channel a bias (4 B), and for weight and bias a
    scale (4 B) and a zero point (8 B) each; and for every layer ``_LAYER_BYTES`` of structure. It is within 2% of the
    shipped networks' files, but 4% below that of `shufflenet_ldam`, which has more operators that are no layers.
    """
    found = counts(network, in_channels, size_px, "all")
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    size = sum(layer.weight.numel() + 28 * layer.weight.shape[0] + _LAYER_BYTES for layer in layers)
    return Cost(found.parameters, found.macs, size / 1024, ms(network) if ms else None)


def within(cost: Cost, start: Cost, budget: Budget) -> bool:
    """Whether every limit of the budget is met."""
    checks = (
        (budget.parameters, cost.parameters / start.parameters),
        (budget.macs, cost.macs / start.macs),
        (budget.int8_kib, cost.int8_kib),
        (budget.ms, cost.ms),
    )
    return all(limit is None or (found is not None and found <= limit) for limit, found in checks)
