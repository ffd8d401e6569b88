"""The training loop: deterministic by step, resumable after a kill to the same weights.

Every draw of step ``t`` comes from (seed, t), so a run that stops and resumes takes the same path.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from fer_host.data.augment import augment_batch
from fer_host.train.checkpoint import load_checkpoint, save_checkpoint
from fer_host.train.config import TrainConfig


@dataclass(frozen=True)
class TrainSet:
    """What is trained on: gray images (N, h, w) uint8 and target distributions (N, classes) float32."""

    images: NDArray[np.uint8]
    targets: NDArray[np.float32]


def one_cycle(step: int, total: int, config: TrainConfig) -> float:
    """Learning rate at ``step``: linear rise over the warm-up, then a cosine to zero (Smith 2018)."""
    warm = max(1, int(total * config.warmup))
    if step < warm:
        return config.lr_max * (step + 1) / warm
    return config.lr_max * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def class_weights(targets: NDArray[np.float32]) -> NDArray[np.float32]:
    """max_c N_c / N_y over the target mass of each class (thesis, equation of the weighted cross-entropy)."""
    mass = np.maximum(targets.sum(axis=0), 1.0)
    return np.asarray(mass.max() / mass, dtype=np.float32)


def soft_cross_entropy(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Cross-entropy against distributions (N, C); with weights, each class's term is weighted and renormalized."""
    if weights is None:
        return functional.cross_entropy(logits, targets)
    per_class = targets * weights
    loss: torch.Tensor = -(per_class * functional.log_softmax(logits, dim=1)).sum() / per_class.sum()
    return loss


def schedule(n: int, config: TrainConfig) -> Iterator[tuple[int, int, int, int]]:
    """All steps of a run over ``n`` images as (step, epoch, batch index within the epoch, size_px)."""
    per_epoch = n // config.batch
    step = epoch = 0
    for phase in config.phases:
        for _ in range(phase.epochs):
            for i in range(per_epoch):
                yield step, epoch, i, phase.size_px
                step += 1
            epoch += 1


def train(
    model: nn.Module,
    data: TrainSet,
    config: TrainConfig,
    *,
    normalize: tuple[torch.Tensor, torch.Tensor],
    checkpoint: Path,
    on_epoch: Callable[[int, int, nn.Module, float, float], None],
    checkpoint_every: int = 150,
    stop_after: int | None = None,
) -> tuple[nn.Module, float]:
    """Trains ``model`` in place.

    Args:
        normalize: mean and std, each (3,), of the network's RGB input.
        checkpoint: file that is resumed from if present, and written every ``checkpoint_every`` steps.
        on_epoch: called as (epoch, size_px, averaged model, mean training loss, minutes so far).
        stop_after: leave after this many steps of this call (tests kill a run with it).

    Returns:
        The exponentially averaged model in eval mode, and the minutes trained, earlier sessions included.
    """
    n = len(data.images)
    steps = list(schedule(n, config))
    weights = torch.from_numpy(class_weights(data.targets)) if config.class_weights else None
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks this overload
    average = copy.deepcopy(model).eval()
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=config.lr_max,
        momentum=config.momentum,
        nesterov=True,
    )
    progress = {"step": 0, "seconds": 0.0, "loss_sum": 0.0, "loss_n": 0}
    load_checkpoint(checkpoint, model, average, optimizer, progress)
    mean, std = (value.view(1, 3, 1, 1) for value in normalize)
    first = int(progress["step"])
    order, order_epoch = np.empty(0, dtype=np.int64), -1
    started = time.monotonic()
    before = float(progress["seconds"])
    bar = tqdm(steps[first:], initial=first, total=len(steps), unit="step", disable=None)
    for step, epoch, index, size_px in bar:
        if order_epoch != epoch:
            order, order_epoch = np.random.default_rng([config.seed, epoch]).permutation(n), epoch
        rows = order[index * config.batch : (index + 1) * config.batch]
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        torch.manual_seed(config.seed * 1_000_003 + step)  # dropout
        gray = torch.from_numpy(data.images[rows]).unsqueeze(1).float() / 255
        x = (augment_batch(gray, size_px, config.augment, generator) - mean) / std
        x = x.contiguous(memory_format=torch.channels_last)
        for group in optimizer.param_groups:
            group["lr"] = one_cycle(step, len(steps), config)
        model.train()
        loss = soft_cross_entropy(model(x), torch.from_numpy(data.targets[rows]), weights)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        _update_average(average, model, min(config.ema_decay, (1 + step) / (10 + step)))
        progress["step"] = step + 1
        progress["loss_sum"] += loss.item()
        progress["loss_n"] += 1
        progress["seconds"] = before + time.monotonic() - started
        last_of_epoch = step + 1 == len(steps) or steps[step + 1][1] != epoch
        if last_of_epoch:
            on_epoch(epoch, size_px, average, progress["loss_sum"] / progress["loss_n"], progress["seconds"] / 60)
            progress["loss_sum"], progress["loss_n"] = 0.0, 0
        stopping = stop_after is not None and step + 1 - first >= stop_after
        if last_of_epoch or stopping or (step + 1) % checkpoint_every == 0:
            save_checkpoint(checkpoint, model, average, optimizer, progress)
        if stopping:
            break
    return average, float(progress["seconds"]) / 60


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * model, over parameters and BN statistics."""
    for mean_value, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean_value.dtype.is_floating_point:
            mean_value.lerp_(value, 1 - decay)
        else:
            mean_value.copy_(value)
