"""LARN: the 13-layer lightweight attention residual network, 48x48 faces.

The paper gives channels and the total, 1.52 M; the layout is the simplest that fits both (facts sheet 000, "A"):
each residual layer is a 1x1 and a 3x3 convolution, its shortcut goes through a 3x3 average pool (IRM), and a
squeeze-and-excitation with Mish weighs its channels.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from fer_host.models.blocks import Mish, conv_bn, conv_bn_act, relu

Attention = Literal["none", "relu", "mish"]


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation (Hu et al. 2018) with a reduction of 16, no biases, and a choice of activation."""

    def __init__(self, channels: int, activation: nn.Module) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 16, 1, bias=False)
        self.activation = activation
        self.excite = nn.Conv2d(channels // 16, channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W), each channel times its weight in 0..1."""
        weight = x.mean(dim=(2, 3), keepdim=True)  # N, C, 1, 1
        weight = self.excite(self.activation(self.squeeze(weight)))
        return x * torch.sigmoid(weight)


class ResidualLayer(nn.Module):
    """1x1 then 3x3; shortcut through an average pool if ``pooled_shortcut`` (the paper's improvement, IRM)."""

    def __init__(self, in_channels: int, out_channels: int, pooled_shortcut: bool, attention: Attention) -> None:
        super().__init__()
        self.main = nn.Sequential(
            *conv_bn_act(in_channels, out_channels, 1, 1, 1, relu), *conv_bn(out_channels, out_channels, 3)
        )
        activation = Mish() if attention == "mish" else nn.ReLU()
        self.attention = nn.Identity() if attention == "none" else SqueezeExcite(out_channels, activation)
        self.pooled_shortcut = pooled_shortcut
        self.project = nn.Identity() if in_channels == out_channels else conv_bn(in_channels, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in, H, W) -> (N, out, H, W)."""
        shortcut = functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False) if self.pooled_shortcut else x
        return torch.relu(self.attention(self.main(x)) + self.project(shortcut))


class Larn(nn.Module):
    """LARN and the rows of its ablation.

    Args:
        n_classes: size of the output.
        in_channels: 3 gives 1,524,807 parameters with 7 classes, 1 (gray) 1,523,655.
        size_px: side of the input, a multiple of 8; the head is a linear layer over the last map.
        pooled_shortcut: the paper's IRM; without it and without attention this is the plain ResNet13.
        attention: squeeze-and-excitation with this activation, or none.
    """

    def __init__(
        self,
        n_classes: int,
        in_channels: int = 3,
        size_px: int = 48,
        pooled_shortcut: bool = True,
        attention: Attention = "mish",
    ) -> None:
        super().__init__()
        pool = nn.MaxPool2d(2)
        self.features = nn.Sequential(
            conv_bn_act(in_channels, 64, 3, 1, 1, relu),  # N, 64, 48, 48
            conv_bn_act(64, 64, 3, 1, 1, relu),
            pool,  # N, 64, 24, 24
            conv_bn_act(64, 128, 3, 1, 1, relu),  # N, 128, 24, 24
            nn.Conv2d(128, 128, 3, 1, 1, groups=128, bias=False),  # depthwise separable: one BN, after the 1x1
            conv_bn_act(128, 128, 1, 1, 1, relu),
            pool,  # N, 128, 12, 12
            ResidualLayer(128, 256, pooled_shortcut, attention),  # N, 256, 12, 12
            ResidualLayer(256, 256, pooled_shortcut, attention),
            pool,  # N, 256, 6, 6
        )
        self.classifier = nn.Linear(256 * (size_px // 8) ** 2, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, size_px, size_px), normalized -> logits (N, n_classes)."""
        logits: torch.Tensor = self.classifier(self.features(x).flatten(1))
        return logits
