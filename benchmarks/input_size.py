"""Which input size? The shipped network fine-tuned for one epoch at each size from the same weights, then scored at it.

python benchmarks/input_size.py hawqc_mbv2 --data ../shared/data/fer2013/fer2013_train_public.npz

Prints accuracy and macro-F1 on PublicTest, MACs relative to 96 px (about: maps round up), and torch's time here.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from fer_host.data import fer2013
from fer_host.models.weights import load_network
from fer_host.recipe.recipe import load_recipe
from fer_host.recipe.train import Phase, ScheduleConfig
from fer_host.train.rows import train_split, validation_split
from fer_host.train.scoring import scores8
from short_run import short_run


def main() -> int:
    """Fine-tunes and scores each size; one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[48, 64, 80, 96, 112])
    parser.add_argument("--images", type=int, default=9600, help="training images of the fine-tuning epoch")
    parser.add_argument("--lr", type=float, default=0.002)
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.model)
    data = fer2013.load(arguments.data)
    rows, held_out = train_split(data, recipe, recipe.train[0]), validation_split(data)
    rows = type(rows)(rows.images[: arguments.images], rows.targets[: arguments.images])
    for size in arguments.sizes:
        config = replace(
            recipe.train[0],
            phases=(Phase(1, size),),
            ema_decay=0.9,
            optimizer=replace(recipe.train[0].optimizer, lr=arguments.lr),
            schedule=ScheduleConfig("one_cycle", warmup=0.05),
        )
        network = load_network(recipe)
        average, minutes = short_run(network, recipe, rows, config)
        before = scores8(load_network(recipe), recipe, held_out, size)
        found = scores8(average, recipe, held_out, size)
        started = time.perf_counter()
        with torch.no_grad():
            for _ in range(20):
                average(torch.zeros(1, 3, size, size))
        line = {
            "size_px": size,
            "accuracy_as_shipped": round(before.accuracy, 4),
            "accuracy": round(found.accuracy, 4),
            "macro_f1": round(found.macro_f1, 4),
            "macs_ratio": round((size / 96) ** 2, 2),
            "torch_ms": round((time.perf_counter() - started) / 20 * 1000, 2),
            "minutes": round(minutes, 1),
        }
        print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
