"""Takes channels out of a network for good: smaller weights that compute what the masked network computes."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fer_host.models.blocks import ChannelShuffle, ChannelSplit
from fer_host.prune.channels import Channels, Ids


def slice_network(network: nn.Module, channels: Channels, removed: Iterable[int]) -> nn.Module:
    """A copy without the removed channels.

    Args:
        network: that ``channels`` was made from.
        channels: see ``follow_channels``.
        removed: channels that stand for their groups (``Channels.root``); none is pinned.

    Raises:
        ValueError: a pinned channel, or a layer would lose its last channel.
    """
    gone = {channels.root(channel) for channel in removed}
    if any(channels.is_pinned(channel) for channel in gone):
        raise ValueError("a channel that must stay was to be removed")
    result = copy.deepcopy(network)
    for name, use in channels.layers.items():
        kept_in, kept_out = _kept(channels, use.inputs, gone), _kept(channels, use.outputs, gone)
        if not kept_out.any():
            raise ValueError(f"layer {name}: would lose all of its {len(kept_out)} channels")
        _slice(result.get_submodule(name), kept_in, kept_out)
    return result


@contextmanager
def masked(network: nn.Module, channels: Channels, removed: Iterable[int]) -> Iterator[None]:
    """Inside, the removed channels are zero behind every layer: what ``slice_network`` must equal."""
    gone = {channels.root(channel) for channel in removed}
    hooks = []
    for name, use in channels.layers.items():
        module = network.get_submodule(name)
        if isinstance(module, ChannelSplit | ChannelShuffle):
            continue
        kept = torch.from_numpy(_kept(channels, use.outputs, gone))

        def mask(_: nn.Module, __: Any, y: torch.Tensor, kept: torch.Tensor = kept) -> torch.Tensor:
            return y * kept.to(y.dtype).view(1, -1, *(1,) * (y.ndim - 2))

        hooks.append(module.register_forward_hook(mask))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _kept(channels: Channels, ids: Ids, gone: set[int]) -> NDArray[np.bool_]:
    return ~np.isin(channels.roots(ids), list(gone))


def _slice(module: nn.Module, kept_in: NDArray[np.bool_], kept_out: NDArray[np.bool_]) -> None:
    rows, columns = torch.from_numpy(np.flatnonzero(kept_out)), torch.from_numpy(np.flatnonzero(kept_in))
    if isinstance(module, ChannelSplit):
        parts = np.split(kept_out, np.cumsum(module.sizes.numpy())[:-1])  # type: ignore[operator]
        module.sizes = torch.tensor([int(part.sum()) for part in parts])
    elif isinstance(module, ChannelShuffle):
        old: NDArray[np.int64] = module.order.numpy()  # type: ignore[operator]
        place = np.cumsum(kept_in) - 1  # of each kept input
        module.order = torch.from_numpy(place[old[kept_out]])
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        for key in ("weight", "bias", "running_mean", "running_var"):
            _replace(module, key, rows)
        module.num_features = len(rows)
    elif isinstance(module, nn.PReLU):
        if module.weight.numel() > 1:
            _replace(module, "weight", rows)
            module.num_parameters = len(rows)
    elif isinstance(module, nn.Linear):
        _replace(module, "weight", columns, axis=1)
        module.in_features = len(columns)
    elif isinstance(module, nn.Conv2d):
        _replace(module, "weight", rows)
        if module.bias is not None:
            _replace(module, "bias", rows)
        if module.groups == 1:
            _replace(module, "weight", columns, axis=1)
        else:
            module.groups = len(columns)
        module.in_channels, module.out_channels = len(columns), len(rows)
    else:
        raise TypeError(f"{type(module).__name__}: pruning has no rule for it")


def _replace(module: nn.Module, key: str, index: torch.Tensor, axis: int = 0) -> None:
    old: torch.Tensor = getattr(module, key)
    new = old.detach().index_select(axis, index).clone()
    setattr(module, key, nn.Parameter(new) if isinstance(old, nn.Parameter) else new)
