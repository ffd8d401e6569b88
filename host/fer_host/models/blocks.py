"""Building blocks that several networks share.

Blocks whose plain form int8 cannot hold are classes of their own, so that ``convert.rewrites`` can exchange them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

Activation = Callable[[int], nn.Module]  # channels -> a fresh activation


class Mish(nn.Module):
    """x * tanh(softplus(x)) (Misra 2019, arXiv 1908.08681), any shape."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape as ``x``."""
        return functional.mish(x)


class ChannelMax(nn.Module):
    """The largest value over the channels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, 1, H, W)."""
        return x.amax(dim=1, keepdim=True)


class GlobalMax(nn.Module):
    """The largest value of each map."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C, 1, 1)."""
        return x.amax(dim=(2, 3), keepdim=True)


def relu(_: int) -> nn.Module:
    """ReLU, which has no parameters."""
    return nn.ReLU(inplace=True)


def prelu_one(_: int) -> nn.Module:
    """PReLU (He et al. 2015) with one slope for all channels."""
    return nn.PReLU()


def prelu(channels: int) -> nn.Module:
    """PReLU with a slope per channel."""
    return nn.PReLU(channels)


def conv_bn(
    in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1, padding: int | None = None
) -> nn.Sequential:
    """Convolution without bias and batch norm; padding keeps the size at stride 1 unless given."""
    pad = (kernel - 1) // 2 if padding is None else padding
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, pad, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
    )


def conv_bn_act(
    in_channels: int, out_channels: int, kernel: int, stride: int, groups: int, activation: Activation
) -> nn.Sequential:
    """Convolution without bias, batch norm, activation."""
    return nn.Sequential(*conv_bn(in_channels, out_channels, kernel, stride, groups), activation(out_channels))


class ChannelSplit(nn.Module):
    """Splits the channels into consecutive parts; pruning changes the sizes, so they are state.

    Args:
        sizes: channels of each part.
    """

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.register_buffer("sizes", torch.tensor(sizes))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(N, sum of sizes, H, W) -> one (N, size, H, W) a part."""
        sizes: list[int] = self.sizes.tolist()  # type: ignore[operator]  # a buffer
        return tuple(torch.split(x, sizes, dim=1))


class ChannelShuffle(nn.Module):
    """Reorders the channels: interleaves two halves (ShuffleNet, Zhang et al. 2018) until pruning makes them unequal.

    Args:
        channels: of the input, even.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("order", torch.arange(channels).view(2, channels // 2).t().flatten())

    @property
    def interleaves(self) -> bool:
        """Whether the order is still that of two interleaved halves."""
        order: torch.Tensor = self.order  # type: ignore[assignment]  # a buffer
        channels = len(order)
        return channels % 2 == 0 and torch.equal(
            order.view(-1, 2).t().flatten(), torch.arange(channels, device=order.device)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> the same, channel i taken from ``order[i]``."""
        n, channels, height, width = (int(size) for size in x.shape)
        order: torch.Tensor = self.order  # type: ignore[assignment]  # a buffer
        if self.interleaves:
            return x.view(n, 2, channels // 2, height, width).transpose(1, 2).reshape(n, channels, height, width)
        return x[:, order]
