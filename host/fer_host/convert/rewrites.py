"""Exact equivalents of blocks that int8 cannot hold as they are (measured: facts sheet convert-ops), for the export.

ai-edge-quantizer has no static int8 EXP and LOG (Mish), PRELU, and REDUCE_MAX; each rewrite uses operators it has.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from fer_host.models.blocks import ChannelMax, GlobalMax, Mish


class SigmoidMish(nn.Module):
    """Mish as x (1 - u) / (1 + u) with u = (1 - sigmoid(x))^2: tanh(log(1 + e^x)) written without exp and log."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape as ``x``."""
        u = (1 - torch.sigmoid(x)) ** 2
        return x * ((1 - u) / (1 + u))


class MaximumPrelu(nn.Module):
    """PReLU as max(x, a x), for slopes that are all at most 1."""

    def __init__(self, slopes: torch.Tensor) -> None:
        super().__init__()
        self.slopes = nn.Parameter(slopes.detach().view(1, -1, 1, 1).clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> the same shape."""
        return torch.maximum(x, self.slopes * x)


class ReluPrelu(MaximumPrelu):
    """PReLU as a x + (1 - a) relu(x), for any slopes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> the same shape."""
        return self.slopes * x + (1 - self.slopes) * torch.relu(x)


class PooledGlobalMax(nn.Module):
    """The largest value of each map as one max-pool over the whole map."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C, 1, 1)."""
        return functional.max_pool2d(x, (int(x.shape[2]), int(x.shape[3])))


class PooledChannelMax(nn.Module):
    """The largest value over the channels as a max-pool along them; channels last, the reshapes cost nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, 1, H, W)."""
        channels, height, width = (int(size) for size in x.shape[1:])
        rows = x.permute(0, 2, 3, 1).reshape(-1, 1, height * width, channels)
        return functional.max_pool2d(rows, (1, channels)).reshape(-1, 1, height, width)


def _prelu(module: nn.Module) -> nn.Module:
    slopes: torch.Tensor = module.weight  # type: ignore[assignment]  # a PReLU's
    return MaximumPrelu(slopes) if bool((slopes <= 1).all()) else ReluPrelu(slopes)


REWRITES: dict[type[nn.Module], Callable[[nn.Module], nn.Module]] = {
    Mish: lambda _: SigmoidMish(),
    nn.PReLU: _prelu,
    GlobalMax: lambda _: PooledGlobalMax(),
    ChannelMax: lambda _: PooledChannelMax(),
}


def rewrite(network: nn.Module) -> nn.Module:
    """A copy of the network with every such block exchanged; it computes the same."""
    result = copy.deepcopy(network)
    for name, module in list(result.named_modules()):
        if type(module) in REWRITES:
            parent, _, last = name.rpartition(".")
            setattr(result.get_submodule(parent), last, REWRITES[type(module)](module))
    return result
