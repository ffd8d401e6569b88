"""Data-parallel training under ``torchrun``: gloo on CPUs, nccl on GPUs. One process alone needs none of it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from fer_host.errors import DataError, HostError, TeamError

Sent = TypeVar("Sent")
_SILENT = timedelta(minutes=10)  # a machine that is switched off says nothing; one that is killed is noticed at once
_PATIENCE = timedelta(hours=12)  # of the others while the leader scores an epoch
_LOST = ("Connection closed", "Connection reset", "Broken pipe", "Timed out", "timed out", "Connection refused", "NCCL")


@dataclass(frozen=True)
class Team:
    """The processes that train together: this one's rank among ``size``, and where it computes."""

    rank: int
    size: int
    device: torch.device
    patient: Any = None  # a group that waits for what the leader does alone

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

    def told(self, value: Sent) -> Sent:
        """What the leader has, in every process; waits for it as long as scoring an epoch may take."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0, group=self.patient)
        return box[0]

    def check_same(self, what: str, value: str) -> None:
        """Refuses a team whose processes do not have the same.

        Args:
            what: it is, and what to do, for the message.
            value: of this process.

        Raises:
            DataError: in every process.
        """
        if self.size == 1:
            return
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, value, group=self.patient)
        if len(set(found)) > 1:
            shown = ", ".join(f"process {rank}: {each}" for rank, each in enumerate(found))
            raise DataError(f"{what} ({shown})")


ALONE = Team(0, 1, torch.device("cpu"))


def device_of(network: nn.Module) -> torch.device:
    """Where a network's parameters lie, and its inputs have to; the CPU for one without parameters."""
    return next((parameter.device for parameter in network.parameters()), ALONE.device)


def join_team() -> Team:
    """Joins the processes that ``torchrun`` started (it sets RANK, WORLD_SIZE, LOCAL_RANK); alone otherwise."""
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if gpu else torch.device("cpu")
    if "WORLD_SIZE" not in os.environ:
        return Team(0, 1, device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if gpu else "gloo", timeout=_SILENT)
    patient = distributed.new_group(backend="gloo", timeout=_PATIENCE)
    return Team(distributed.get_rank(), distributed.get_world_size(), device, patient)


@contextlib.contextmanager
def losing_nobody() -> Iterator[None]:
    """Says in one line that another process of the team is gone; alone, every error passes as it is.

    Raises:
        TeamError: in place of what gloo, nccl or the rendezvous raise.
    """
    try:
        yield
    except RuntimeError as error:  # torch's errors of distributed are of this kind
        said = " ".join(str(error).split())
        lost = isinstance(error, distributed.DistError) or any(word in said for word in _LOST)
        if isinstance(error, HostError) or "WORLD_SIZE" not in os.environ or not lost:
            raise
        raise TeamError(
            f"team: this is process {os.environ.get('RANK', '?')} of {os.environ['WORLD_SIZE']}, another is gone or "
            f"does not answer ({_short(said)}); what was saved is kept: start again, also with another --nnodes"
        ) from error


def _short(said: str) -> str:
    found = re.search(f"(?:{'|'.join(_LOST)})[^.:\\[]{{0,60}}", said)
    return (found[0] if found else said[:100]).strip()


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
        size, shape = distributed.get_world_size(), (1, -1, *(1,) * (x.ndim - 2))
        own_variance, own_mean = torch.var_mean(x, dim=axes, correction=0)
        mean = all_reduce(own_mean) / size  # type: ignore[no-untyped-call]
        # (squares less the square of the mean would lose a variance beside a large mean)
        variance = all_reduce(own_variance + (own_mean - mean).square()) / size  # type: ignore[no-untyped-call]
        n = x.numel() // x.shape[1] * size
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                self.running_mean.lerp_(mean, momentum)
                self.running_var.lerp_(variance * (n / max(1, n - 1)), momentum)
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
