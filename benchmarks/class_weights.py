r"""What does class weighting change? Two short runs that differ in nothing else (the thesis' figure 3-5).

python benchmarks/class_weights.py hawqc_mbv2 --data ../shared/data/fer2013/fer2013_train_public.npz

Prints accuracy, macro-F1 and recall of each class, with and without the weights max_c N_c / N_y, after a few epochs at
64 px from ImageNet weights.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

from fer_host.data import fer2013
from fer_host.models.starts import start_from_imagenet
from fer_host.models.weights import build_network
from fer_host.recipe.recipe import load_recipe
from fer_host.recipe.train import LossConfig, Phase
from fer_host.train.rows import train_split, validation_split
from fer_host.train.scoring import scores8
from short_run import short_run


def main() -> int:
    """Trains both and prints one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--size", type=int, default=64)
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.model)
    data = fer2013.load(arguments.data)
    rows, held_out = train_split(data, recipe, recipe.train[0]), validation_split(data)
    for weighted in (False, True):
        phases = (Phase(arguments.epochs, arguments.size),)
        config = replace(recipe.train[0], phases=phases, loss=LossConfig(1.0, class_weights=weighted))
        network = build_network(recipe)
        start_from_imagenet(network, config.seed)
        average, minutes = short_run(network, recipe, rows, config)
        found = scores8(average, recipe, held_out, arguments.size)
        recall = {name: round(value, 3) for name, value in zip(recipe.label_names, found.recall, strict=True)}
        line = {**asdict(found), "recall": recall, "class_weights": weighted, "minutes": round(minutes, 1)}
        line.pop("confusion")
        print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
