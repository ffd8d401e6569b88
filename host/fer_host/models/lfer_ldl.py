"""LFER-LDL: ShuffleNetV2 with a parallel local branch over the four quadrants (PDWRes) and a depthwise output.

A close relative of EfficientFace (Zhao et al., AAAI 2021). Layer table and counting convention: facts sheet 003.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from fer_host.errors import RecipeError
from fer_host.models.blocks import Mish, conv_bn_act, relu
from fer_host.models.shufflenet_v2 import UNITS, stage


def relu6(_: int) -> nn.Module:
    """ReLU6, as the local branch uses."""
    return nn.ReLU6(inplace=True)


class PdwRes(nn.Module):
    """Each quadrant of the map goes through two depthwise convolutions of its own; the four are put together again."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.quadrants = nn.ModuleList(
            nn.Sequential(
                conv_bn_act(in_channels, out_channels, 3, 2, in_channels, relu6),
                conv_bn_act(out_channels, out_channels, 3, 1, out_channels, relu6),
            )
            for _ in range(4)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in, H, W) -> (N, out, ceil(H/2), ceil(W/2)), as a convolution of stride 2 leaves the whole map."""
        rows = [quarter for half in x.chunk(2, dim=2) for quarter in half.chunk(2, dim=3)]
        parts = [branch(quarter) for branch, quarter in zip(self.quadrants, rows, strict=True)]
        joined = torch.cat((torch.cat(parts[:2], dim=3), torch.cat(parts[2:], dim=3)), dim=2)
        height, width = ((int(size) + 1) // 2 for size in x.shape[2:])
        if (int(joined.shape[2]), int(joined.shape[3])) != (height, width):  # 26 px: quadrants of 13 give 7 + 7, not 13
            joined = joined[:, :, :height, :width]
        return joined


class DepthwiseOutput(nn.Module):
    """Average pool to 3x3, depthwise 3x3 without padding, BN, Mish, 1x1 to the classes: all weights see data."""

    def __init__(self, channels: int, n_classes: int, map_px: int) -> None:
        super().__init__()
        if map_px < 3:
            raise RecipeError(
                f"network lfer_ldl: found a last map of {map_px} px, expected at least 3: give the recipe a size_px of "
                "65 or more"
            )
        stride = map_px // 3
        self.pool = nn.AvgPool2d(map_px - 2 * stride, stride)  # 7 -> 3: kernel 3, stride 2
        self.depthwise = nn.Conv2d(channels, channels, 3, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.mish = Mish()
        self.classes = nn.Conv2d(channels, n_classes, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, m, m) -> logits (N, classes). No Mish on the logits: it would cut them off at -0.31."""
        logits: torch.Tensor = self.classes(self.mish(self.norm(self.depthwise(self.pool(x)))))  # N, classes, 1, 1
        return logits.flatten(1)


class LferLdl(nn.Module):
    """LFER-LDL and the rows of its ablation.

    Args:
        n_classes: size of the output.
        in_channels: of the input.
        size_px: side of the input, from 65 up with the paper's output module; the pool follows the last map.
        quadrants: the local branch, PDWRes.
        depthwise_output: the paper's output module; without it a linear layer on the mean.

    Raises:
        RecipeError: an input too small for the output module.
    """

    def __init__(
        self,
        n_classes: int,
        in_channels: int = 3,
        size_px: int = 224,
        quadrants: bool = True,
        depthwise_output: bool = True,
    ) -> None:
        super().__init__()
        self.stem = conv_bn_act(in_channels, 29, 3, 2, 1, relu)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.stage2 = stage(29, 116, UNITS[0])
        self.local = PdwRes(29, 116) if quadrants else None
        self.stage3 = stage(116, 232, UNITS[1])
        self.stage4 = stage(232, 464, UNITS[2])
        self.last = conv_bn_act(464, 1024, 1, 1, 1, relu)
        map_px = math.ceil(size_px / 32)
        head = DepthwiseOutput(1024, n_classes, map_px) if depthwise_output else nn.Linear(1024, n_classes)
        self.classifier = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, size_px, size_px), normalized -> logits (N, n_classes)."""
        x = self.pool(self.stem(x))  # at 224: N, 29, 56, 56
        y = self.stage2(x)  # N, 116, 28, 28
        if self.local is not None:
            y = y + self.local(x)
        y = self.last(self.stage4(self.stage3(y)))  # N, 1024, 7, 7
        logits: torch.Tensor = self.classifier(y if isinstance(self.classifier, DepthwiseOutput) else y.mean((2, 3)))
        return logits
