"""One short training run that keeps nothing on disk, for the comparisons in this folder."""

from __future__ import annotations

import tempfile
from pathlib import Path

from torch import nn

from fer_host.recipe.recipe import Recipe
from fer_host.recipe.train import TrainConfig
from fer_host.train.batches import TrainSet
from fer_host.train.loop import train


def short_run(network: nn.Module, recipe: Recipe, rows: TrainSet, config: TrainConfig) -> tuple[nn.Module, float]:
    """Trains ``network``; returns its averaged weights and the minutes it took."""
    with tempfile.TemporaryDirectory() as scratch:
        return train(
            network,
            rows,
            config,
            normalize=recipe.input,
            checkpoint=Path(scratch) / "checkpoint.pt",
            on_epoch=lambda *_: None,
            checkpoint_every=1_000_000,
        )
