"""What the tests of the training loop share: a small network, its cycle, and generated faces-like images."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from fer_edge.contract.specs import InputSpec
from fer_host.recipe.train import Augment, LossConfig, OptimizerConfig, Phase, ScheduleConfig, TrainConfig

STILL = Augment(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, (0.02, 0.15))
MOVED = replace(STILL, flip_p=0.5, rotate_deg=15.0, scale=0.12, aspect=0.1, shift=0.06, erase_p=0.4)
CONFIG = TrainConfig(
    start="random",
    min_votes=0,
    phases=(Phase(2, 16), Phase(1, 24)),
    seed=3,
    batch=8,
    ema_decay=0.9,
    clip_norm=2.0,
    optimizer=OptimizerConfig("sgd", 0.05, 0.9, 1e-4, 0.0),
    schedule=ScheduleConfig("one_cycle", warmup=0.15),
    loss=LossConfig(vote_share=1.0),
    augment=MOVED,
)
NORMALIZE = InputSpec("gray3", 48, "bilinear", (0.5,) * 3, (0.25,) * 3)


class Small(nn.Module):
    """Convolution, batch norm, dropout, head: everything that could break determinism."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(8, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.body(x.expand(-1, 3, -1, -1)).mean((2, 3)))
        return out
