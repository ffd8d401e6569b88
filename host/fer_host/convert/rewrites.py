"""Exact equivalents of blocks that int8 cannot hold as they are, for the export.

Chosen by benchmarks/rewrites.py, whose figures are in benchmarks/results/rewrites.md.

ai-edge-quantizer has no static int8 EXP and LOG (Mish), PRELU, and REDUCE_MAX; each rewrite uses operators it has.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from fer_host.models.blocks import ChannelMax, GlobalMax, Mish

TAPS = 25  # weights a channel of XNNPACK's largest int8 depthwise kernel


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


class BorderMaxPool(nn.Module):
    """A max-pool whose border rows and columns are repeated instead of padded with the lowest number.

    The converter pads with -3.4e38, which becomes part of the int8 range and leaves nothing of the image (and lets
    XNNPACK of ai-edge-litert 2.3.0 abort with "double free" at the next convolution). A repeated border is one of the
    window's own values as long as the padding is less than the kernel.
    """

    def __init__(self, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = kernel, stride, padding

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C, H', W')."""
        for axis in (2, 3):
            size = int(x.shape[axis])
            first, last = x.narrow(axis, 0, 1), x.narrow(axis, size - 1, 1)
            beyond = (size + 2 * self.padding - self.kernel) % self.stride  # what no window reaches
            parts = [*[first] * self.padding, x, *[last] * (self.padding - beyond)]
            x = torch.cat(parts, dim=axis) if len(parts) > 1 else x
        return functional.max_pool2d(x, self.kernel, self.stride)


class BandedDepthwise(nn.Module):
    """A large depthwise convolution as the sum of bands of its rows, each of at most ``TAPS`` weights a channel.

    XNNPACK has int8 depthwise kernels of up to 25 weights; larger ones fall back to a plain loop, ten times as slow.
    Rows and columns of the kernel that see padding only (7x7 on a 3x3 map) are left out: they add zero, and a tensor
    that is always zero has no int8 scale.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach().clone())
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().clone())
        self.stride = tuple(map(int, conv.stride))
        self.padding = tuple(map(int, conv.padding))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C x multiplier, H', W')."""
        groups = int(x.shape[1])
        rows, cols = (self._live(axis, int(x.shape[2 + axis])) for axis in (0, 1))
        x = functional.pad(x, (cols.before, cols.behind, rows.before, rows.behind))
        weight = self.weight[:, :, :, cols.first : cols.last]
        height = max(1, TAPS // (cols.last - cols.first))
        total: torch.Tensor | None = None
        for start in range(rows.first, rows.last, height):
            band = weight[:, :, start : min(start + height, rows.last)]
            top = start - rows.first
            part = x[:, :, top : top + rows.span + int(band.shape[2])]
            bias = self.bias if total is None else None
            y = functional.conv2d(part, band, bias, self.stride, groups=groups)
            total = y if total is None else total + y
        assert total is not None
        return total

    def _live(self, axis: int, size: int) -> _Live:
        kernel, stride, padding = int(self.weight.shape[2 + axis]), self.stride[axis], self.padding[axis]
        span = (size + 2 * padding - kernel) // stride * stride  # how far the kernel moves
        seen = [k for k in range(kernel) if any(0 <= at - padding + k < size for at in range(0, span + 1, stride))]
        first, last = seen[0], seen[-1] + 1
        before = padding - first
        return _Live(first, last, before, span + last - first - before - size, span)


class _Live(NamedTuple):
    """Along one axis: the kernel's rows that see data, what is padded before and behind, and how far it moves."""

    first: int
    last: int
    before: int
    behind: int
    span: int


def _depthwise(module: nn.Module) -> nn.Module:
    assert isinstance(module, nn.Conv2d)
    large = module.groups == module.in_channels > 1 and math.prod(module.kernel_size) > TAPS
    plain = set(module.dilation) == {1} and not isinstance(module.padding, str)
    return BandedDepthwise(module) if large and plain else module


def _max_pool(module: nn.Module) -> nn.Module:
    assert isinstance(module, nn.MaxPool2d)
    sizes = (module.kernel_size, module.stride, module.padding)
    if not any(sizes[2:]) or not all(isinstance(size, int) for size in sizes):
        return module
    return BorderMaxPool(*sizes)  # type: ignore[arg-type]  # checked


def _prelu(module: nn.Module) -> nn.Module:
    slopes: torch.Tensor = module.weight  # type: ignore[assignment]  # a PReLU's
    return MaximumPrelu(slopes) if bool((slopes <= 1).all()) else ReluPrelu(slopes)


REWRITES: dict[type[nn.Module], Callable[[nn.Module], nn.Module]] = {
    Mish: lambda _: SigmoidMish(),
    nn.PReLU: _prelu,
    GlobalMax: lambda _: PooledGlobalMax(),
    ChannelMax: lambda _: PooledChannelMax(),
    nn.MaxPool2d: _max_pool,
    nn.Conv2d: _depthwise,
}


def rewrite(network: nn.Module) -> nn.Module:
    """A copy of the network with every such block exchanged; it computes the same."""
    result = copy.deepcopy(network)
    for name, module in list(result.named_modules()):
        if type(module) in REWRITES:
            parent, _, last = name.rpartition(".")
            setattr(result.get_submodule(parent), last, REWRITES[type(module)](module))
    return result
