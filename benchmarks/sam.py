"""SAM against plain: the same network, rows, seeds and epochs; and plain with twice the epochs, for SAM's two passes.

``python benchmarks/sam.py --data NPZ`` writes benchmarks/results/sam.md. The full-length comparison is
``fer-host train shufflenet_ldam`` against ``fer-host train shufflenet_ldam --ablation sam``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fer_host.commands.options import add_data, given_data
from fer_host.models.weights import build_network
from fer_host.recipe.ablations import SAM_RHO
from fer_host.recipe.recipe import Recipe, load_recipe
from fer_host.recipe.train import Phase, TrainConfig
from fer_host.train.batches import TrainSet
from fer_host.train.rows import train_split, validation_split
from fer_host.train.run import training_data
from fer_host.train.scoring import scores
from short_run import short_run
from written import write

RESULT = Path(__file__).parent / "results" / "sam.md"


def config(recipe: Recipe, epochs: int, seed: int, rho: float) -> TrainConfig:
    """The recipe's own constants, shortened; everything but SAM is the same on both sides."""
    base = recipe.train[0]
    phases = (Phase(epochs, recipe.size_px),)
    # an average over 1,000 steps would still be full of the first epoch in a run as short as this
    return replace(
        base, phases=phases, seed=seed, ema_decay=0.98, optimizer=replace(base.optimizer, sam_rho=rho), start="random"
    )


def main() -> None:
    """Trains every pair and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data(parser)
    parser.add_argument("--model", default="larn")
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    arguments.data = given_data(arguments.data)
    recipe = load_recipe(arguments.model)
    data = training_data(recipe, arguments.data)
    whole = train_split(data, recipe, recipe.train[0])
    held_out = validation_split(data)
    lines = ["| run | seed | epochs | accuracy | minutes |", "|---|---|---|---|---|"]
    for seed in range(1, arguments.seeds + 1):
        drawn = np.random.default_rng(seed).permutation(len(whole.images))[: arguments.rows]
        rows = TrainSet(whole.images[drawn], whole.targets[drawn])
        for name, epochs, rho in (
            ("plain", arguments.epochs, 0.0),
            (f"SAM, rho {SAM_RHO}", arguments.epochs, SAM_RHO),
            ("plain, twice the epochs", 2 * arguments.epochs, 0.0),
        ):
            torch.manual_seed(seed)
            network, minutes = short_run(build_network(recipe), recipe, rows, config(recipe, epochs, seed, rho))
            accuracy = scores(network.eval(), recipe, held_out).accuracy
            lines.append(f"| {name} | {seed} | {epochs} | {accuracy:.2%} | {minutes:.1f} |")
            print(lines[-1], flush=True)
    write(
        RESULT,
        f"# SAM against plain\n\n`.venv/bin/python benchmarks/sam.py --model {arguments.model} "
        f"--rows {arguments.rows} --epochs {arguments.epochs} --seeds {arguments.seeds}`: {arguments.rows} rows of "
        f"Training, {recipe.labels} on all of PublicTest, the recipe's other constants as they are. A short run: it "
        "ranks, it does not say how far each gets.\n\n" + "\n".join(lines) + "\n",
    )


if __name__ == "__main__":
    main()
