"""MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381): the thesis' base network.

Parameter names follow torchvision's ``mobilenet_v2`` so that its ImageNet weights load as they are.
"""

from __future__ import annotations

import torch
from torch import nn

# expansion t, output channels c, repeats n, stride s (Table 2 of the paper)
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def conv_bn_relu6(
    in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU6; padding keeps the size at stride 1."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """1x1 expand, 3x3 depthwise, linear 1x1 project; added to its input where shapes allow."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.use_residual = stride == 1 and in_channels == out_channels
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(conv_bn_relu6(in_channels, hidden, kernel=1))
        layers += [
            conv_bn_relu6(hidden, hidden, stride=stride, groups=hidden),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in, H, W) -> (N, out, H/stride, W/stride)."""
        y: torch.Tensor = self.conv(x)
        return x + y if self.use_residual else y


class MobileNetV2(nn.Module):
    """MobileNetV2 at width 1.0 with one linear head.

    Args:
        n_classes: size of the output; 1000 gives 3,504,872 parameters, 8 gives 2,234,120.
        in_channels: of the input.
        dropout: probability before the head, in training only.
    """

    def __init__(self, n_classes: int, in_channels: int = 3, dropout: float = 0.2) -> None:
        super().__init__()
        blocks: list[nn.Module] = [conv_bn_relu6(in_channels, 32, stride=2)]
        channels = 32
        for expansion, out_channels, repeats, stride in STAGES:
            for i in range(repeats):
                blocks.append(InvertedResidual(channels, out_channels, stride if i == 0 else 1, expansion))
                channels = out_channels
        blocks.append(conv_bn_relu6(channels, 1280, kernel=1))
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(1280, n_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W), normalized -> logits (N, n_classes)."""
        x = self.features(x)  # N, 1280, H/32, W/32
        x = x.mean(dim=(2, 3))  # N, 1280
        logits: torch.Tensor = self.classifier(x)
        return logits
