"""Sliced networks on disk: the weights' own shapes say how many channels each layer has."""

from __future__ import annotations

import torch
from torch import nn

from fer_host.models.blocks import ChannelShuffle, ChannelSplit


def fit_shapes(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Gives every layer the channels that the weights have, in place; ``load_state_dict`` then takes them.

    Args:
        network: the unpruned network.
        state: of a sliced one; layers it does not name stay as they are.
    """
    for name, module in network.named_modules():
        own = {key: state[f"{name}.{key}"] for key in ("weight", "sizes", "order") if f"{name}.{key}" in state}
        if isinstance(module, ChannelSplit | ChannelShuffle):
            for key, value in own.items():
                setattr(module, key, torch.empty_like(value))
        if "weight" not in own:
            continue
        shape = tuple(own["weight"].shape)
        if isinstance(module, nn.Conv2d):
            if module.groups > 1:  # depthwise, with as many outputs an input as before
                module.groups = shape[0] // (module.out_channels // module.groups)
            module.out_channels, module.in_channels = shape[0], shape[1] * module.groups
            _empty(module, "weight", shape)
            _empty(module, "bias", shape[:1])
        elif isinstance(module, nn.Linear):
            module.out_features, module.in_features = shape
            _empty(module, "weight", shape)
            _empty(module, "bias", shape[:1])
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.num_features = shape[0]
            for key in ("weight", "bias", "running_mean", "running_var"):
                _empty(module, key, shape)
        elif isinstance(module, nn.PReLU):
            module.num_parameters = shape[0]
            _empty(module, "weight", shape)


def _empty(module: nn.Module, key: str, shape: tuple[int, ...]) -> None:
    old = getattr(module, key)
    if old is not None and tuple(old.shape) != shape:
        new = torch.empty(shape, dtype=old.dtype)
        setattr(module, key, nn.Parameter(new) if isinstance(old, nn.Parameter) else new)
