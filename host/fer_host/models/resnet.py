"""ResNet-50 (He et al. 2016, arXiv 1512.03385): the teacher of label distribution learning; never shipped.

Parameter names follow torchvision's ``resnet50``: a state dict in that layout loads where it has as many classes, and
the body of one with other classes through ``starts.start_from_body``. No recipe starts from such weights: none ship.
"""

from __future__ import annotations

import torch
from torch import nn

STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # width, blocks, stride of the first
EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3 (which has the stride), 1x1 to four times the width; added to its input."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = EXPANSION * width
        self.conv1, self.bn1 = nn.Conv2d(in_channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
        self.downsample = nn.Sequential()
        if stride != 1 or in_channels != out_channels:
            conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(out_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in, H, W) -> (N, 4 x width, H/stride, W/stride)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet50(nn.Module):
    """ResNet-50; 1000 classes give 25,557,032 parameters."""

    def __init__(self, n_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        channels = 64
        for number, (width, blocks, stride) in enumerate(STAGES, 1):
            layers = []
            for i in range(blocks):
                layers.append(Bottleneck(channels, width, stride if i == 0 else 1))
                channels = EXPANSION * width
            self.add_module(f"layer{number}", nn.Sequential(*layers))
        self.fc = nn.Linear(channels, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W), normalized -> logits (N, n_classes)."""
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))  # at 224: N, 64, 56, 56
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        logits: torch.Tensor = self.fc(x.mean(dim=(2, 3)))  # x: N, 2048, 7, 7
        return logits
