"""How fast a network trains here, by size and precision, and what the augmentation takes of it.

    python benchmarks/training_speed.py [--seconds 4] [--threads 1]

A step is what ``fer-host train`` does: augmentation, forward, backward, optimizer, averaged weights. Images are counted
per second of the process' own CPU time, so that a machine shared with others changes little; networks and precisions
take turns, twice, and the faster turn counts.
"""

from __future__ import annotations

import argparse
import copy
import platform
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fer_host.data.augment import augment_batch, normalized, planes
from fer_host.models.counts import counts
from fer_host.models.weights import build_network
from fer_host.recipe.recipe import Recipe, load_recipe
from fer_host.recipe.train import TrainConfig
from fer_host.train.loop import Objective, _update_average
from fer_host.train.optimizer import make_optimizer
from fer_host.train.parallel import ALONE
from written import write

RESULT = Path(__file__).parent / "results" / "training_speed.md"
CASES = (
    ("fer48", 48),
    ("hawqc_mbv2", 64),
    ("hawqc_mbv2", 96),
    ("shufflenet_ldam", 48),
    ("lfer_ldl", 96),
    ("larn", 48),
    ("ddamfn", 48),
)
BATCH = 64


class Run:
    """One network in one precision, as its recipe trains it."""

    def __init__(self, recipe: Recipe, size_px: int, precision: str) -> None:
        self.recipe, self.size_px = recipe, size_px
        self.config: TrainConfig = replace(recipe.train[0], precision=precision, batch=BATCH)  # type: ignore[arg-type]
        torch.manual_seed(0)
        self.model = build_network(recipe).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).eval()
        self.optimizer = make_optimizer(self.model, self.config.optimizer)
        parts = tuple(slice(*each.slice) for each in recipe.label_sets)
        self.objective = Objective(self.model, None, self.config, ALONE, parts)
        source = recipe.input.source_px
        self.images = np.random.default_rng(0).integers(0, 256, (BATCH, source, source), dtype=np.uint8)
        self.targets = torch.full((BATCH, recipe.n_outputs), 1 / recipe.n_outputs)
        self.step_s = self.augment_s = float("inf")
        self.draws = torch.Generator().manual_seed(0)

    def turn(self, seconds: float) -> None:
        """Steps for so many CPU seconds after one for warming up; keeps the faster mean."""
        self._step()
        spent = augmented = 0.0
        n = 0
        while spent < seconds or n < 2:
            started = time.process_time()
            augmented += self._step()
            spent += time.process_time() - started
            n += 1
        if spent / n < self.step_s:
            self.step_s, self.augment_s = spent / n, augmented / n

    def _step(self) -> float:
        started = time.process_time()
        moved = augment_batch(planes(self.images), self.size_px, self.config.augment, self.draws)
        x = normalized(moved, self.recipe.input).contiguous(memory_format=torch.channels_last)
        augmented = time.process_time() - started
        self.optimizer.zero_grad(set_to_none=True)
        self.objective(x, self.targets).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        _update_average(self.average, self.model, 0.999)
        return augmented


def main() -> None:
    """Measures all cases and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="of CPU a turn")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    runs = {
        (name, px, precision): Run(load_recipe(name), px, precision)
        for name, px in CASES
        for precision in ("float32", "bfloat16")
    }
    for _ in range(2):
        for run in runs.values():
            run.turn(arguments.seconds)
    lines = [
        "# Training speed",
        "",
        f"`benchmarks/training_speed.py`: {cpu()}, {arguments.threads} thread, torch {torch.__version__}, "
        f"batch {BATCH}, images per second of CPU time. The machine was shared while this was measured: columns of one "
        "row may be compared, and rows roughly; no number here is a promise for another machine.",
        "",
        "| network | input, px | MACs | float32 | bfloat16 | faster | augmentation's share |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, px in CASES:
        plain, short = (runs[name, px, precision] for precision in ("float32", "bfloat16"))
        macs = counts(build_network(plain.recipe), plain.recipe.input.channels, px, "all").macs
        ratio = plain.step_s / short.step_s
        best = short if ratio > 1 else plain
        faster = f"bfloat16, {ratio:.2f}x" if ratio > 1 else f"float32, {1 / ratio:.2f}x"
        lines.append(
            f"| `{name}` | {px} | {macs / 1e6:.1f} M | {BATCH / plain.step_s:.0f} | {BATCH / short.step_s:.0f} | "
            f"{faster} | {best.augment_s / best.step_s:.1%} |"
        )
    write(RESULT, "\n".join([*lines, ""]))
    print("\n".join(lines))


def cpu() -> str:
    """The processor's name, and whether it multiplies bfloat16 in hardware."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    units = [unit for unit in ("amx_bf16", "avx512_bf16") if unit in text]
    return f"{names[0] if names else platform.processor()} ({', '.join(units) or 'no bfloat16 unit'})"


if __name__ == "__main__":
    main()
