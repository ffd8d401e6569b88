"""What a network is trained on, in words, for its card."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from fer_host.recipe.recipe import Recipe


def machine(recipe: Recipe) -> str:
    """What trains here, in words: accelerator or processor, threads, precision."""
    if torch.cuda.is_available():
        what = torch.cuda.get_device_name()
    else:
        listed = Path("/proc/cpuinfo")
        lines = listed.read_text().splitlines() if listed.is_file() else []
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        threads = torch.get_num_threads()
        what = f"{threads} shared core{'s' * (threads > 1)} of {names[0] if names else platform.machine()}"
    return f"{what}, {recipe.train[-1].precision}"
