"""Data-parallel training under ``torchrun``: gloo on CPUs, nccl on GPUs. One process alone needs none of it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Team:
    """The processes that train together: this one's rank among ``size``, and where it computes."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over the team, through which gradients pass; alone, the tensor itself."""
        return value if self.size == 1 else all_reduce(value)  # type: ignore[no-untyped-call]

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean of a tensor over the team, likewise."""
        return self.sum(value) / self.size


ALONE = Team(0, 1, torch.device("cpu"))


def device_of(network: nn.Module) -> torch.device:
    """Where a network's parameters lie, and its inputs have to; the CPU for one without parameters."""
    return next((parameter.device for parameter in network.parameters()), ALONE.device)


def join_team() -> Team:
    """Joins the processes that ``torchrun`` started (it sets RANK, WORLD_SIZE, LOCAL_RANK); alone otherwise."""
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if gpu else torch.device("cpu")
    if "WORLD_SIZE" not in os.environ:
        return Team(0, 1, device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if gpu else "gloo")
    return Team(distributed.get_rank(), distributed.get_world_size(), device)


def leave_team() -> None:
    """Waits for the others and ends the team; a process that just exits can take gloo's threads of another down."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def share(module: nn.Module, team: Team) -> nn.Module:
    """``module`` with gradients averaged over the team; its layers see the joint batch (``join_layers``)."""
    if team.size == 1:
        return module
    return DistributedDataParallel(module, device_ids=[team.device] if team.device.type == "cuda" else None)


def join_layers(model: nn.Module, team: Team) -> None:
    """Makes batch norm and dropout work on the joint batch, in place; names and shapes of the weights stay.

    torch's SyncBatchNorm runs on GPUs only, so this is its formula with torch's differentiable ``all_reduce``.
    """
    if team.size == 1:
        return
    for module in model.modules():
        if type(module) in _JOINT:
            module.__class__ = _JOINT[type(module)]


class _Joint(nn.modules.batchnorm._BatchNorm):
    """Batch norm over all processes in training, plain in evaluation; every process has an equal share."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)
        x = x.float()  # under autocast: statistics are float32, as torch's own batch norm keeps them
        axes = [axis for axis in range(x.ndim) if axis != 1]
        sums = torch.stack((x.mean(dim=axes), x.square().mean(dim=axes)))
        mean, square = all_reduce(sums) / distributed.get_world_size()  # type: ignore[no-untyped-call]
        variance = square - mean.square()
        n = x.numel() // x.shape[1] * distributed.get_world_size()
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                self.running_mean.lerp_(mean, momentum)
                self.running_var.lerp_(variance * (n / max(1, n - 1)), momentum)
        shape = (1, -1, *(1,) * (x.ndim - 2))
        y = (x - mean.view(shape)) * torch.rsqrt(variance.view(shape) + self.eps)
        scaled: torch.Tensor = y * self.weight.view(shape) + self.bias.view(shape)
        return scaled


class _Joint1d(_Joint, nn.BatchNorm1d):
    pass


class _Joint2d(_Joint, nn.BatchNorm2d):
    pass


class _JointDropout(nn.Dropout):
    """Dropout that draws for the joint batch and takes this process's rows; ``loop.train`` seeds all alike."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        rank, size = distributed.get_rank(), distributed.get_world_size()
        kept = functional.dropout(x.new_ones(len(x) * size, *x.shape[1:]), self.p)
        return x * kept[rank::size]


_JOINT: dict[type, type] = {nn.BatchNorm1d: _Joint1d, nn.BatchNorm2d: _Joint2d, nn.Dropout: _JointDropout}
