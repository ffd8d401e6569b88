"""How a run computes where its recipe leaves that open: in which precision, on how many threads. Measured, then kept.

``torch.compile`` is no choice here: the compiled steps of the flagship were slower than what they were made of, after
minutes of compiling (``benchmarks/results/training_compiled.md``).
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from fer_host.errors import DataError
from fer_host.files.artifacts import write_json
from fer_host.recipe.train import TrainConfig
from fer_host.train.parallel import Team, device_of

_TURNS = 3  # timed steps of each way, after one that is not


Precision = Literal["float32", "bfloat16"]
_PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


@dataclass(frozen=True)
class Way:
    """Precision of activations, and threads of the processor; ``images_s`` is what was measured in each way there is.

    ``images_s`` names ways as "bfloat16, 2 threads".
    """

    precision: Precision
    threads: int
    images_s: dict[str, float]


def settled(
    config: TrainConfig, model: nn.Module, step: Callable[[nn.Module, TrainConfig], None], kept: Path, team: Team
) -> TrainConfig:
    """A cycle whose precision is no longer open; its threads are set in this process.

    The leader measures, the team follows. What was chosen is kept beside the checkpoint, and a run that goes on
    computes as it began, on whatever machine: else it would not come to the same weights.

    Args:
        config: of the cycle; returned as it is unless its precision is "auto".
        model: what will be trained; copies of it are.
        step: forward and backward of one batch, by a model as a cycle says.
        kept: the file of what was chosen.
        team: the processes that train together.

    Raises:
        DataError: ``kept`` is damaged.
    """
    if config.precision != "auto":
        return config
    way: Way | None = None
    if team.leads:
        way = kept_way(kept) or measured(config, model, step)
        write_json(kept, asdict(way))
    way = team.told(way)
    assert way is not None  # the leader has one
    if team.size == 1:  # torchrun says how many each process of a team has
        torch.set_num_threads(way.threads)
    return replace(config, precision=way.precision)


def kept_way(path: Path) -> Way | None:
    """What was chosen for a run; None where nothing is kept.

    Raises:
        DataError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        way = Way(**json.loads(path.read_bytes()))
        if way.precision in _PRECISIONS and isinstance(way.threads, int) and way.threads > 0:
            return way
    except (ValueError, TypeError):
        pass
    raise DataError(f"{path}: found no choice of precision and threads; expected it whole: delete it to measure anew")


def measured(config: TrainConfig, model: nn.Module, step: Callable[[nn.Module, TrainConfig], None]) -> Way:
    """The fastest way by turns, each by its fastest step: what else runs here disturbs all of them alike."""
    before = torch.get_num_threads()
    on_cpu = device_of(model).type == "cpu"
    threads = sorted({1, before} if on_cpu else {before})
    ways = {f"{precision}, {n} thread{'s' * (n > 1)}": (precision, n) for precision, n in product(_PRECISIONS, threads)}
    models = {name: copy.deepcopy(model) for name in ways}  # batch norms learn in a step
    best = dict.fromkeys(ways, float("inf"))
    try:
        for turn in range(1 + _TURNS):
            for name, (precision, n) in ways.items():
                torch.set_num_threads(n)
                started = time.perf_counter()
                step(models[name], replace(config, precision=precision))
                if not on_cpu:
                    torch.cuda.synchronize()
                if turn:
                    best[name] = min(best[name], time.perf_counter() - started)
    finally:
        torch.set_num_threads(before)
    precision, n = ways[min(best, key=lambda name: best[name])]
    return Way(precision, n, {name: round(config.batch / seconds, 1) for name, seconds in best.items()})
