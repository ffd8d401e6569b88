"""Fine-tuning on a bit policy's grids: fake quantization with learned steps, straight through the rounding.

Learned steps after Esser et al. 2020 (LSQ, arXiv 1902.08153), as a logarithm so that they stay above zero. LSQ divides
a step's gradient by sqrt(n_weights x largest integer). The logarithm's gradient is the step's times the step, which
shrinks as the integers grow, so only sqrt(n_weights) is left here. Under SGD that scales the updates, as LSQ means it.
Adam, which the recipes tune with, divides a gradient by its own running size, so a constant factor cancels (but for its
epsilon): a step moves by the learning rate relative to itself, whatever n_weights is. What the factor still does there
is to keep the steps' gradients from using up the norm that ``clip_norm`` bounds for all parameters together.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from fer_host.quantize.fold import quantized_layers
from fer_host.quantize.grid import best_scales, integers, limits
from fer_host.quantize.policy import BitPolicy


class OnGrid(nn.Module):
    """A weight's parametrization: (C, ...) to the grid of each channel.

    Args:
        bits: (C,) widths.
        scale: (C,) first steps.
        n_weights: of a channel; divides the steps' gradient by its root, see the module's text.
    """

    bits: torch.Tensor

    def __init__(self, bits: torch.Tensor, scale: torch.Tensor, n_weights: int) -> None:
        super().__init__()
        self.register_buffer("bits", bits)
        self.log_scale = nn.Parameter(scale.log())
        self.damping = 1 / math.sqrt(n_weights)

    @property
    def scale(self) -> torch.Tensor:
        """(C,) steps."""
        return self.log_scale.exp()

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """On the grid; the rounding passes gradients as if it were not there, clipped weights get none."""
        shape = (-1, *[1] * (weight.dim() - 1))
        low, high = (end.view(shape) for end in limits(self.bits))
        steps = self.log_scale * 1.0
        if steps.requires_grad:
            steps.register_hook(lambda gradient: gradient * self.damping)  # type: ignore[no-untyped-call]
        scale = steps.exp().view(shape)
        clamped = torch.minimum(torch.maximum(weight / scale, low), high)
        rounded: torch.Tensor = _Round.apply(clamped) * scale  # type: ignore[no-untyped-call]
        return rounded


class _Round(torch.autograd.Function):
    """Rounds to the very integer; x + (round(x) - x).detach() would miss it by a bit now and then."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


def on_grids(folded: nn.Module, policy: BitPolicy) -> nn.Module:
    """A copy whose layers' weights are parametrized by ``OnGrid``, ready for ``train.loop.train``."""
    network = copy.deepcopy(folded)
    for name, layer in quantized_layers(network).items():
        bits = torch.from_numpy(policy.of(name))
        scale, _ = best_scales(layer.weight.detach(), bits)
        parametrize.register_parametrization(layer, "weight", OnGrid(bits, scale, layer.weight[0].numel()))
    return network


def grids(network: nn.Module) -> dict[str, dict[str, torch.Tensor]]:
    """Integers (C, ...) int8, scales (C,) float32 and bits (C,) uint8 of every layer of a network on grids."""
    found = {}
    for name, layer in quantized_layers(network).items():
        parametrization: Any = layer.parametrizations.weight  # type: ignore[union-attr]
        grid: OnGrid = parametrization[0]
        scale = grid.scale.detach().float()
        whole = integers(parametrization.original.detach(), scale, grid.bits)
        found[name] = {"integers": whole.to(torch.int8), "scale": scale, "bits": grid.bits.to(torch.uint8)}
    return found
