"""The training loop: deterministic by step, resumable after a kill to the same weights.

Every draw of step ``t`` comes from (seed, t), so a run that stops and resumes takes the same path.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from fer_edge.contract.specs import InputSpec
from fer_host.data.ahead import WORKERS
from fer_host.data.damage import n_unreadable
from fer_host.models import head_name
from fer_host.recipe.train import TrainConfig
from fer_host.train.batches import Batches, TrainSet, n_steps
from fer_host.train.checkpoint import load_checkpoint, save_checkpoint
from fer_host.train.lean import lean
from fer_host.train.losses import class_weights, total_loss
from fer_host.train.optimizer import at_sharpest_neighbor, learning_rate, make_optimizer
from fer_host.train.parallel import ALONE, Team, join_layers, share
from fer_host.train.way import settled

_WAITING = 0.05  # of the time, from where it is worth a line


class Objective(nn.Module):
    """The network and its loss as one module, which is what data-parallel training wraps."""

    def __init__(
        self,
        model: nn.Module,
        weights: torch.Tensor | None,
        config: TrainConfig,
        team: Team,
        parts: tuple[slice, ...] = (slice(None),),
    ) -> None:
        super().__init__()
        self.parts = parts
        self.model, self.weights, self.config, self.team = model, weights, config.loss, team
        self.reduced = config.precision == "bfloat16"

    def forward(self, x: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of normalized inputs (N, channels, H, W) against target distributions (N, classes)."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.reduced), lean(self.model):
            if self.config.attention:
                logits, maps = self.model.attend(x)  # type: ignore[operator]  # networks with attention heads have it
            else:
                logits, maps = self.model(x), []
        maps = [each.float() for each in maps]
        loss = total_loss(logits.float(), targets, maps, self.weights, self.config, self.team, self.parts)
        if self.config.gamma_l1:
            loss = loss + self.config.gamma_l1 * sum_of_gammas(self.model)
        return loss


def sum_of_gammas(model: nn.Module) -> torch.Tensor:
    """Sum of |gamma| over all batch norms, a scalar."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    return torch.stack([norm.weight.abs().sum() for norm in norms]).sum()


def train(
    model: nn.Module,
    data: TrainSet,
    config: TrainConfig,
    *,
    normalize: InputSpec,
    checkpoint: Path,
    teacher: nn.Module | None = None,
    on_epoch: Callable[[int, int, nn.Module, float, float], bool | None],
    checkpoint_every: int = 150,
    stop_after: int | None = None,
    team: Team | None = None,
) -> tuple[nn.Module, float]:
    """Trains ``model`` in place.

    Args:
        normalize: how the network's input is made of a picture.
        teacher: takes the student's own input and gives logits of the same classes; for ``loss.teacher_share``. It
            comes to the team's device, and into eval mode.
        checkpoint: file that is resumed from if present, and written every ``checkpoint_every`` steps.
        on_epoch: called as (epoch, size_px, averaged model, mean training loss, minutes so far); True
            ends the run there.
        stop_after: leave after this many steps of this call (tests kill a run with it).
        team: the processes that share each batch equally; only the leading one writes and calls ``on_epoch``.

    Returns:
        The exponentially averaged model in eval mode, and the minutes trained, earlier sessions included.
    """
    n, team = len(data.images), team or ALONE
    total = n_steps(n, config)
    epochs = sum(phase.epochs for phase in config.phases)
    planned = total * (config.schedule.of_epochs or epochs) // epochs  # of which these steps are the first
    weights = None
    if config.loss.class_weights:
        weights = torch.from_numpy(class_weights(data.targets)).to(team.device)
    if config.trainable == "head":  # else what is trained is the caller's choice
        head = head_name(model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad = name.startswith(f"{head}.")
    model.to(team.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stub
    step_of = partial(_one_step, data, normalize.channels, team.device)
    config = settled(config, model, step_of, way_path(checkpoint), team)
    join_layers(model, team)
    if teacher is not None:
        teacher.to(team.device).eval()
    average = copy.deepcopy(model).eval()
    optimizer = make_optimizer(model, config.optimizer)
    progress = {"step": 0, "seconds": 0.0, "loss_sum": 0.0, "loss_n": 0}
    load_checkpoint(checkpoint, model, average, optimizer, progress, team)
    objective = share(Objective(model, weights, config, team, data.parts), team)
    first = int(progress["step"])
    batches = Batches(data, config, normalize, team, first)
    started = time.monotonic()
    before = float(progress["seconds"])
    bar = tqdm(batches, initial=first, total=total, unit="step", disable=None if team.leads else True)
    for (step, epoch, _, size_px), x, targets, _ in bar:
        torch.manual_seed(config.seed * 1_000_003 + step)  # dropout; the same in every process (``join_layers``)
        x = x.to(team.device).contiguous(memory_format=torch.channels_last)
        targets = targets.to(team.device)
        if teacher is not None:
            with torch.no_grad():
                targets = targets + config.loss.teacher_share * _answers(teacher(x), config, data.parts)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, planned, epoch, config.optimizer.lr, config.schedule)
        _set_mode(model, config.trainable)
        optimizer.zero_grad(set_to_none=True)
        loss = objective(x, targets)
        loss.backward()
        if config.optimizer.sam_rho:
            with at_sharpest_neighbor(model, config.optimizer.sam_rho):
                objective(x, targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        _update_average(average, model, min(config.ema_decay, (1 + step) / (10 + step)))
        progress["step"] = step + 1
        progress["loss_sum"] += team.mean(loss.detach()).item()
        progress["loss_n"] += 1
        progress["seconds"] = before + time.monotonic() - started
        enough: bool | None = False
        last_of_epoch = (step + 1) % (n // config.batch) == 0
        if last_of_epoch:
            if team.leads:
                mean_loss, minutes = progress["loss_sum"] / progress["loss_n"], progress["seconds"] / 60
                enough = on_epoch(epoch, size_px, average, mean_loss, minutes)
            enough = team.told(enough)
            progress["loss_sum"], progress["loss_n"] = 0.0, 0
        stopping = stop_after is not None and step + 1 - first >= stop_after
        if team.leads and (last_of_epoch or stopping or (step + 1) % checkpoint_every == 0):
            save_checkpoint(checkpoint, model, average, optimizer, progress)
        if stopping or enough:
            break
    if config.trainable == "head":
        average.requires_grad_(True)
    _say_what_was_missing(batches, time.monotonic() - started)
    return average, float(progress["seconds"]) / 60


def way_path(checkpoint: Path) -> Path:
    """Where what was chosen for a cycle is kept (``way``)."""
    return checkpoint.with_suffix(".way.json")


def _one_step(data: TrainSet, channels: int, device: torch.device, model: nn.Module, config: TrainConfig) -> None:
    """Forward and backward of a batch of noise at the size of the last phase, to see how long they take."""
    side = config.phases[-1].size_px
    x = torch.rand(config.batch, channels, side, side, device=device).contiguous(memory_format=torch.channels_last)
    targets = torch.from_numpy(data.targets[np.zeros(config.batch, dtype=np.int64)]).to(device)
    _set_mode(model, config.trainable)
    Objective(model, None, config, ALONE, data.parts)(x, targets).backward()


def _say_what_was_missing(batches: Batches, seconds: float) -> None:
    """Of a set that streams: pictures that could not be read, and whether the trainer had to wait for others."""
    if batches.ahead is None:
        return
    if n_unreadable():
        print(f"data: {n_unreadable()} pictures could not be read; others took their place", file=sys.stderr)
    share = batches.ahead.waited_s / max(seconds, 1e-9)
    if share > _WAITING:
        print(
            f"data: {share:.0%} of the time was spent waiting for pictures from {batches.ahead.workers} processes; "
            f"more of them may help: {WORKERS}={2 * batches.ahead.workers}",
            file=sys.stderr,
        )


def _answers(logits: torch.Tensor, config: TrainConfig, parts: tuple[slice, ...]) -> torch.Tensor:
    """(N, outputs) probabilities, of each label set by itself and by its share of the loss."""
    shares = config.loss.head_shares or (1.0,)
    return torch.cat([w * torch.softmax(logits[:, part], dim=1) for w, part in zip(shares, parts, strict=True)], dim=1)


def _set_mode(model: nn.Module, trainable: str) -> None:
    """Training mode for all, or for the head only: batch norms of a body that stands still do so too."""
    model.train(trainable == "all")
    if trainable == "head":
        model.get_submodule(head_name(model)).train()


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * model, over parameters and BN statistics."""
    for mean_value, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean_value.dtype.is_floating_point:
            mean_value.lerp_(value, 1 - decay)
        else:
            mean_value.copy_(value)
