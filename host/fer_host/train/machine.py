"""What a network is trained on, in words, for its card."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from fer_host.recipe.recipe import Recipe
from fer_host.train.way import Way


def machine(recipe: Recipe, way: Way | None = None) -> str:
    """What trains here, in words: accelerator or processor, threads, precision.

    Args:
        recipe: says the precision.
        way: what was chosen instead, where the recipe's precision is "auto"; it is said what else was measured.
    """
    if torch.cuda.is_available():
        what = torch.cuda.get_device_name()
    else:
        listed = Path("/proc/cpuinfo")
        lines = listed.read_text().splitlines() if listed.is_file() else []
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        threads = way.threads if way else torch.get_num_threads()
        what = f"{threads} shared core{'s' * (threads > 1)} of {names[0] if names else platform.machine()}"
    if way is None:
        return f"{what}, {recipe.train[-1].precision}"
    found = ", ".join(f"{name} {images_s:g}" for name, images_s in way.images_s.items())
    return f"{what}, {way.precision} (images a second when the run began: {found})"
