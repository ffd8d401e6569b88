"""DDAMFN: a MobileFaceNet with mixed depthwise kernels (MFN) and the dual-direction attention head (DDAN).

Zhang et al., Electronics 12(17):3595, 2023. The official code builds a BN and a PReLU after the mixed depthwise
convolutions but never calls them; they are left out here, which is what the published counts do too.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn

from fer_host.models.blocks import ChannelSplit, conv_bn, conv_bn_act, prelu


class Row(NamedTuple):
    """Bottlenecks of one shape: how many, channels out, kernel size -> channels of the expanded layer, stride."""

    repeats: int
    out_channels: int
    kernels: dict[int, int]
    stride: int


MFN = (
    Row(1, 64, {3: 64, 5: 32, 7: 32}, 2),
    Row(9, 64, {3: 96, 5: 32}, 1),
    Row(1, 128, {3: 128, 5: 64, 7: 64}, 2),
    Row(16, 128, {3: 192, 5: 64}, 1),
    Row(1, 256, {3: 256, 5: 256, 7: 256, 9: 256}, 2),
    Row(6, 256, {3: 172, 5: 170, 7: 170}, 1),
)


# expansion, channels out, repeats, stride (MobileFaceNet, Table 1)
MOBILEFACENET = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


def last_map_px(size_px: int) -> int:
    """Side of the last map of all networks here: four convolutions of stride 2, each of which rounds up."""
    return math.ceil(size_px / 16)


class CoordinateGates(nn.Module):
    """The shared second half of coordinate attention (Hou et al. 2021): two pooled strips -> a gate per position."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = max(8, channels // 32)
        self.squeeze = nn.Sequential(nn.Conv2d(channels, middle, 1), nn.BatchNorm2d(middle), nn.Hardswish())
        self.rows = nn.Conv2d(middle, channels, 1)
        self.cols = nn.Conv2d(middle, channels, 1)

    def forward(self, by_row: torch.Tensor, by_col: torch.Tensor) -> torch.Tensor:
        """(N, C, H, 1) and (N, C, 1, W) -> gates (N, C, H, W) in 0..1."""
        height = by_row.shape[2]
        strip = self.squeeze(torch.cat((by_row, by_col.transpose(2, 3)), dim=2))  # N, m, H+W, 1
        rows = torch.sigmoid(self.rows(strip[:, :, :height]))  # N, C, H, 1
        cols = torch.sigmoid(self.cols(strip[:, :, height:].transpose(2, 3)))  # N, C, 1, W
        gates: torch.Tensor = rows * cols
        return gates


class CoordinateAttention(nn.Module):
    """x times gates from its means along each direction."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gates = CoordinateGates(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> the same shape."""
        gated: torch.Tensor = x * self.gates(x.mean(dim=3, keepdim=True), x.mean(dim=2, keepdim=True))
        return gated


class MixBottleneck(nn.Module):
    """1x1 expand, one depthwise convolution per kernel size, coordinate attention, linear 1x1 project."""

    def __init__(self, in_channels: int, row: Row, stride: int) -> None:
        super().__init__()
        expanded = sum(row.kernels.values())
        self.expand = conv_bn_act(in_channels, expanded, 1, 1, 1, prelu)
        self.split = ChannelSplit(list(row.kernels.values()))
        self.mixed = nn.ModuleList(
            nn.Conv2d(width, width, kernel, stride, kernel // 2, groups=width, bias=False)
            for kernel, width in row.kernels.items()
        )
        self.attention = CoordinateAttention(expanded)
        self.project = conv_bn(expanded, row.out_channels)
        self.use_residual = stride == 1 and in_channels == row.out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in, H, W) -> (N, out, H/stride, W/stride)."""
        parts = self.split(self.expand(x))
        y: torch.Tensor = torch.cat([conv(part) for conv, part in zip(self.mixed, parts, strict=True)], dim=1)
        y = self.project(self.attention(y))
        return x + y if self.use_residual else y


def mfn_body(in_channels: int) -> nn.Sequential:
    """The backbone: (N, in_channels, 112, 112) -> (N, 512, 7, 7)."""
    layers: list[nn.Module] = [
        conv_bn_act(in_channels, 64, 3, 2, 1, prelu),  # N, 64, 56, 56
        conv_bn_act(64, 64, 3, 1, 64, prelu),
    ]
    channels = 64
    for row in MFN:
        for i in range(row.repeats):
            layers.append(MixBottleneck(channels, row, row.stride if i == 0 else 1))
            channels = row.out_channels
    layers.append(conv_bn_act(channels, 512, 1, 1, 1, prelu))  # N, 512, 7, 7
    return nn.Sequential(*layers)


class DualDirectionHead(nn.Module):
    """Coordinate attention whose means are replaced by learned depthwise convolutions across the whole map."""

    def __init__(self, channels: int, map_px: int) -> None:
        super().__init__()
        self.across = nn.Sequential(
            nn.Conv2d(channels, channels, (1, map_px), groups=channels, bias=False), nn.BatchNorm2d(channels)
        )
        self.down = nn.Sequential(
            nn.Conv2d(channels, channels, (map_px, 1), groups=channels, bias=False), nn.BatchNorm2d(channels)
        )
        self.gates = CoordinateGates(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, m, m) -> attention (N, C, m, m) in 0..1."""
        gates: torch.Tensor = self.gates(self.across(x), self.down(x))
        return gates


class Ddamfn(nn.Module):
    """DDAMFN; 2 heads, 7 classes and 112 px give 4,105,999 parameters.

    Args:
        n_classes: size of the output.
        in_channels: of the input.
        size_px: side of the input; the head's kernels follow the last map (7 px at 112).
        heads: of dual-direction attention, 0 to 4; each starts from weights of its own, or the attention loss is
            infinite.
    """

    def __init__(self, n_classes: int, in_channels: int = 3, size_px: int = 112, heads: int = 2) -> None:
        super().__init__()
        map_px = last_map_px(size_px)
        self.body = mfn_body(in_channels)
        self.heads = nn.ModuleList(DualDirectionHead(512, map_px) for _ in range(heads))
        self.pool = conv_bn(512, 512, map_px, groups=512, padding=0)  # N, 512, 1, 1
        self.classifier = nn.Linear(512, n_classes)

    def attend(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Logits (N, n_classes) and each head's attention (N, 512, m, m), which the attention loss drives apart."""
        x = self.body(x)
        maps = [head(x) for head in self.heads]
        if maps:
            attention = maps[0]
            for other in maps[1:]:
                attention = torch.maximum(attention, other)
            x = x * attention
        logits: torch.Tensor = self.classifier(self.pool(x).flatten(1))
        return logits, maps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, size_px, size_px), normalized -> logits (N, n_classes)."""
        return self.attend(x)[0]


class Mfn(nn.Module):
    """The backbone with its face-recognition tail: 7x7 depthwise, 256-d embedding, L2 norm; then a linear layer."""

    def __init__(self, n_classes: int, in_channels: int = 3, size_px: int = 112) -> None:
        super().__init__()
        self.body = mfn_body(in_channels)
        self.pool = conv_bn(512, 512, last_map_px(size_px), groups=512, padding=0)
        self.embed = nn.Sequential(nn.Linear(512, 256, bias=False), nn.BatchNorm1d(256))
        self.classifier = nn.Linear(256, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, size_px, size_px), normalized -> logits (N, n_classes)."""
        embedding = self.embed(self.pool(self.body(x)).flatten(1))  # N, 256
        logits: torch.Tensor = self.classifier(nn.functional.normalize(embedding))
        return logits


class MobileFaceNet(nn.Module):
    """MobileFaceNet (Chen et al. 2018, arXiv 1804.07573) with a 512-d embedding: the paper's smaller baseline."""

    def __init__(self, n_classes: int, in_channels: int = 3, size_px: int = 112) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            conv_bn_act(in_channels, 64, 3, 2, 1, prelu),
            conv_bn_act(64, 64, 3, 1, 64, prelu),
        ]
        channels = 64
        for expansion, out_channels, repeats, stride in MOBILEFACENET:
            for i in range(repeats):
                layers.append(PlainBottleneck(channels, out_channels, expansion, stride if i == 0 else 1))
                channels = out_channels
        layers.append(conv_bn_act(channels, 512, 1, 1, 1, prelu))
        self.body = nn.Sequential(*layers)
        self.pool = conv_bn(512, 512, last_map_px(size_px), groups=512, padding=0)
        self.embed = conv_bn(512, 512)
        self.classifier = nn.Linear(512, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, size_px, size_px), normalized -> logits (N, n_classes)."""
        logits: torch.Tensor = self.classifier(self.embed(self.pool(self.body(x))).flatten(1))
        return logits


class PlainBottleneck(nn.Module):
    """MobileFaceNet's bottleneck: 1x1 expand, depthwise 3x3, linear 1x1 project."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.use_residual = stride == 1 and in_channels == out_channels
        self.conv = nn.Sequential(
            conv_bn_act(in_channels, hidden, 1, 1, 1, prelu),
            conv_bn_act(hidden, hidden, 3, stride, hidden, prelu),
            conv_bn(hidden, out_channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in, H, W) -> (N, out, H/stride, W/stride)."""
        y: torch.Tensor = self.conv(x)
        return x + y if self.use_residual else y
