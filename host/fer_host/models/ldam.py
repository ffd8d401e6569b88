"""LDAM: channel attention (DCAM), then spatial attention, each with a shortcut, in front of every ShuffleNetV2 unit."""

from __future__ import annotations

import math

import torch
from torch import nn

from fer_host.models.blocks import ChannelMax, GlobalMax

# Two gates with shortcuts multiply by (1 + N)(1 + S), 2.25 where both start at one half, and the untouched half of a
# unit passes sixteen such pairs. Subtracting a constant before the sigmoid starts them near 1 and costs no parameter.
GATE_OFFSET = 2.0


def eca_kernel(channels: int) -> int:
    """Odd kernel size of a 1-D convolution over channels (ECA-Net, Wang et al. 2020, gamma 2, b 1)."""
    t = int(abs((math.log2(channels) + 1) / 2))
    return t if t % 2 else t + 1


class Dcam(nn.Module):
    """sigmoid(W1 * mean + W2 * max), each a 1-D convolution over the channels with weights of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        kernel = eca_kernel(channels)
        self.of_mean = nn.Conv2d(1, 1, (1, kernel), padding=(0, kernel // 2), bias=False)
        self.of_max = nn.Conv2d(1, 1, (1, kernel), padding=(0, kernel // 2), bias=False)
        self.global_max = GlobalMax()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> gates (N, C, 1, 1) in 0..1."""
        n, channels = x.shape[:2]
        mean = x.mean(dim=(2, 3), keepdim=True).reshape(n, 1, 1, channels)
        peak = self.global_max(x).reshape(n, 1, 1, channels)
        gates = torch.sigmoid(self.of_mean(mean) + self.of_max(peak) - GATE_OFFSET)
        return gates.reshape(n, channels, 1, 1)


class SpatialAttention(nn.Module):
    """sigmoid(7x7 convolution of the mean and the maximum over channels) (CBAM, Woo et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.channel_max = ChannelMax()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> gates (N, 1, H, W) in 0..1."""
        summary = torch.cat((x.mean(dim=1, keepdim=True), self.channel_max(x)), dim=1)  # N, 2, H, W
        return torch.sigmoid(self.conv(summary) - GATE_OFFSET)


class Ldam(nn.Module):
    """y = x N(x) + x, then z = y S(y) + y (the paper's two attentions with their shortcuts)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel = Dcam(channels)
        self.spatial = SpatialAttention()
        for conv in (self.channel.of_mean, self.channel.of_max, self.spatial.conv):
            nn.init.zeros_(conv.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> the same shape."""
        x = x * (self.channel(x) + 1)
        gated: torch.Tensor = x * (self.spatial(x) + 1)
        return gated
