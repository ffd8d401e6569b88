"""fer48: this kit's own network for gray 48 px faces. All 48 x 48 positions are looked at before any is given up.

Separable layers at 48, 24, 12 and 6 px: a 3x3 depthwise and a 1x1 convolution, one batch norm, ReLU6. Layers that keep
their width add their input. Every operator is one that int8 keeps exactly; batch norms fold into the 1x1 convolutions.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

# output channels of the layers at each size; a max-pool between sizes halves the map
STAGES = ((32, 32), (64, 64, 64), (128, 128, 128), (192, 192, 192))
STEM = 24


class Separable(nn.Module):
    """3x3 depthwise and 1x1 convolution, batch norm, ReLU6; added to its input where the width stays."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.residual = in_channels == out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in, H, W) -> (N, out, H, W), 0..6."""
        y: torch.Tensor = self.norm(self.pointwise(self.depthwise(x)))
        return functional.relu6(x + y if self.residual else y)


class Fer48(nn.Module):
    """fer48; 166,319 parameters and 22.5 M MACs with one input channel and 15 outputs.

    Args:
        n_classes: size of the output, of all label sets together.
        in_channels: of the input.
        dropout: probability before the head, in training only.
    """

    def __init__(self, n_classes: int, in_channels: int = 1, dropout: float = 0.1) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, STEM, 3, padding=1, bias=False),  # no stride: N, 24, 48, 48
            nn.BatchNorm2d(STEM),
            nn.ReLU6(),
        ]
        channels = STEM
        for number, stage in enumerate(STAGES):
            if number:
                layers.append(nn.MaxPool2d(2))
            for out_channels in stage:
                layers.append(Separable(channels, out_channels))
                channels = out_channels
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, n_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W), normalized -> logits (N, n_classes)."""
        x = self.features(x)  # N, 192, H/8, W/8
        logits: torch.Tensor = self.classifier(x.mean(dim=(2, 3)))
        return logits
