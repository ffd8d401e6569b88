"""ShuffleNetV2 (Ma et al. 2018, arXiv 1807.11164): the units two of the systems build on, and the network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from fer_host.models.blocks import Activation, ChannelShuffle, ChannelSplit, conv_bn, conv_bn_act, relu

UNITS = (4, 8, 4)  # of the three stages; the first unit of each has stride 2

# (channels of the unit's input) -> a module in front of the unit
InFront = Callable[[int], nn.Module]


def nothing(_: int) -> nn.Module:
    """No module in front of a unit."""
    return nn.Identity()


def branch(in_channels: int, out_channels: int, stride: int, activation: Activation) -> nn.Sequential:
    """1x1, depthwise 3x3, 1x1."""
    return nn.Sequential(
        conv_bn_act(in_channels, out_channels, 1, 1, 1, activation),
        conv_bn(out_channels, out_channels, 3, stride, groups=out_channels),
        conv_bn_act(out_channels, out_channels, 1, 1, 1, activation),
    )


class Unit(nn.Module):
    """The stride-1 unit: half of the channels pass untouched, the other half goes through the branch."""

    def __init__(self, channels: int, activation: Activation, in_front: InFront) -> None:
        super().__init__()
        self.in_front = in_front(channels)
        self.split = ChannelSplit([channels // 2, channels // 2])
        self.branch = branch(channels // 2, channels // 2, 1, activation)
        self.shuffle = ChannelShuffle(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> the same shape."""
        untouched, worked = self.split(self.in_front(x))
        shuffled: torch.Tensor = self.shuffle(torch.cat((untouched, self.branch(worked)), dim=1))
        return shuffled


class DownUnit(nn.Module):
    """The stride-2 unit: both branches see all channels."""

    def __init__(self, in_channels: int, out_channels: int, activation: Activation, in_front: InFront) -> None:
        super().__init__()
        self.in_front = in_front(in_channels)
        self.shortcut = nn.Sequential(
            conv_bn(in_channels, in_channels, 3, 2, groups=in_channels),
            conv_bn_act(in_channels, out_channels // 2, 1, 1, 1, activation),
        )
        self.branch = branch(in_channels, out_channels // 2, 2, activation)
        self.shuffle = ChannelShuffle(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in, H, W) -> (N, out, H/2, W/2)."""
        x = self.in_front(x)
        shuffled: torch.Tensor = self.shuffle(torch.cat((self.shortcut(x), self.branch(x)), dim=1))
        return shuffled


def stage(
    in_channels: int, out_channels: int, units: int, activation: Activation = relu, in_front: InFront = nothing
) -> nn.Sequential:
    """One stage: a stride-2 unit and ``units`` - 1 of stride 1."""
    rest = [Unit(out_channels, activation, in_front) for _ in range(units - 1)]
    return nn.Sequential(DownUnit(in_channels, out_channels, activation, in_front), *rest)


class ShuffleNetV2(nn.Module):
    """ShuffleNetV2 with a choice of activation, stem, and a module in front of every unit.

    Args:
        n_classes: size of the output.
        in_channels: of the input; 1 and 7 classes give 1,260,347 parameters at width 1.0 with ReLU.
        widths: channels of the stem, the three stages and the last 1x1 convolution.
        activation: of every activation.
        in_front: of every unit.
        stem_stride: 2 as for ImageNet, or 1, which leaves small faces more to see.
        stem_pool: the stem's 3x3 max-pool of stride 2.
    """

    def __init__(
        self,
        n_classes: int,
        in_channels: int = 3,
        widths: tuple[int, int, int, int, int] = (24, 116, 232, 464, 1024),
        activation: Activation = relu,
        in_front: InFront = nothing,
        stem_stride: int = 2,
        stem_pool: bool = True,
    ) -> None:
        super().__init__()
        make = partial(stage, activation=activation, in_front=in_front)
        self.stem = conv_bn_act(in_channels, widths[0], 3, stem_stride, 1, activation)
        self.pool = nn.MaxPool2d(3, 2, 1) if stem_pool else nn.Identity()
        self.stages = nn.Sequential(*(make(widths[i], widths[i + 1], UNITS[i]) for i in range(3)))
        self.last = conv_bn_act(widths[3], widths[4], 1, 1, 1, activation)
        self.classifier = nn.Linear(widths[4], n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W), normalized -> logits (N, n_classes)."""
        x = self.pool(self.stem(x))  # 48 px, stem stride 1: N, 24, 24, 24
        x = self.last(self.stages(x))  # N, 1024, 3, 3
        logits: torch.Tensor = self.classifier(x.mean(dim=(2, 3)))
        return logits
