"""Follows every channel through a network, so that channels which must go together are found and not listed by hand.

The network runs once; beside each tensor goes a tensor of the same shape that says which channel each number belongs
to. Moves (split, concat, shuffle, reshape, crop) move both alike; convolutions start new channels; sums and products
tie channels of both sides. Where an operator mixes channels in a way that surgery cannot cut, they are pinned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.overrides import TorchFunctionMode

from fer_host.models.blocks import ChannelShuffle, ChannelSplit

Ids = NDArray[np.int64]

# operators by what they do to channels; names as torch's dispatcher gives them
_MOVES = {"view", "reshape", "flatten", "transpose", "permute", "contiguous", "expand", "squeeze", "unsqueeze"}
_MOVES |= {"chunk", "split", "cat", "__getitem__", "index_select", "narrow", "select", "t", "clone", "detach"}
_POINTWISE = {"relu", "relu_", "relu6", "hardtanh", "hardtanh_", "sigmoid", "sigmoid_", "tanh", "mish", "hardswish"}
_POINTWISE |= {"hardswish_", "dropout", "dropout_", "neg", "abs", "square", "clamp", "to", "float", "double"}
_BINARY = {"add", "add_", "__add__", "__radd__", "__iadd__", "sub", "__sub__", "mul", "mul_", "__mul__", "__rmul__"}
_BINARY |= {"__imul__", "div", "__truediv__", "maximum", "minimum"}
_POOLS = {"max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"}


@dataclass(frozen=True)
class LayerUse:
    """One layer with weights, or one that holds sizes: the channel of each of its inputs and outputs."""

    name: str
    inputs: Ids
    outputs: Ids


@dataclass
class Channels:
    """What following the channels found.

    Attributes:
        layers: by module name, in the order of execution.
        tie: channel -> the channel that stands for all that must go with it.
        pinned: stands-for channels that must stay.
    """

    layers: dict[str, LayerUse] = field(default_factory=dict)
    tie: list[int] = field(default_factory=list)
    pinned: set[int] = field(default_factory=set)

    def root(self, channel: int) -> int:
        """The channel that stands for this one's group."""
        while self.tie[channel] != channel:
            self.tie[channel] = self.tie[self.tie[channel]]
            channel = self.tie[channel]
        return channel

    def roots(self, ids: Ids) -> Ids:
        """``root`` of each."""
        return np.array([self.root(int(i)) for i in ids.ravel()], dtype=np.int64).reshape(ids.shape)

    def is_pinned(self, channel: int) -> bool:
        """Whether this channel's group must stay."""
        return self.root(channel) in {self.root(p) for p in self.pinned}

    def _new(self, n: int) -> Ids:
        first = len(self.tie)
        self.tie.extend(range(first, first + n))
        return np.arange(first, first + n, dtype=np.int64)

    def _join(self, a: Ids, b: Ids) -> None:
        pairs = np.unique(np.stack([a.ravel(), b.ravel()], axis=1), axis=0)
        for x, y in pairs.tolist():
            self.tie[self.root(y)] = self.root(x)

    def _per_channel(self, labels: torch.Tensor) -> Ids:
        """Channel of each index of axis 1; where it differs over the other axes, those channels are tied."""
        n = labels.shape[1]
        rows = labels.movedim(1, 0).reshape(n, -1).numpy()
        first = rows[:, 0]
        self._join(np.repeat(first[:, None], rows.shape[1], axis=1), rows)
        return np.asarray(first, dtype=np.int64)


class _Follow(TorchFunctionMode):
    """Runs each operator on the numbers and its counterpart on the labels."""

    def __init__(self, found: Channels, weights: dict[int, str]) -> None:
        super().__init__()
        self.found, self.weights = found, weights
        self.labels: dict[int, torch.Tensor] = {}
        self.alive: list[torch.Tensor] = []  # ids of freed tensors would be used again

    def label(self, tensor: torch.Tensor, labels: torch.Tensor) -> None:
        self.labels[id(tensor)] = labels
        self.alive.append(tensor)

    def of(self, value: Any) -> torch.Tensor | None:
        return self.labels.get(id(value)) if isinstance(value, torch.Tensor) else None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        followed = [value for value in _tensors((args, kwargs)) if id(value) in self.labels]
        # labels first: an in-place operator changes what its argument is
        result = func(*args, **kwargs)
        if not followed or not any(isinstance(value, torch.Tensor) for value in _tensors(result)):
            return result
        with torch._C.DisableTorchFunction():
            self._follow(name, func, args, kwargs, followed, result)
        return result

    def _follow(
        self, name: str, func: Callable[..., Any], args: Any, kwargs: Any, followed: list[torch.Tensor], result: Any
    ) -> None:
        found, first = self.found, self.labels[id(followed[0])]
        if name in ("conv2d", "linear", "batch_norm", "prelu"):
            self._layer(name, args, kwargs, first, result)
        elif name in _MOVES:
            moved = func(*_swap(args, self.labels), **_swap(kwargs, self.labels))
            for value, labels in zip(_tensors(result), _tensors(moved), strict=True):
                self.label(value, labels)
        elif name in _POOLS or (name == "mean" and not _touches_channels(args, kwargs, first.ndim)):
            self.label(result, _spread(found._per_channel(first), result.shape))
        elif name in _POINTWISE and result.shape == first.shape:
            self.label(result, first)
        elif name in _BINARY:
            others = [torch.broadcast_to(self.labels[id(value)], result.shape) for value in followed]
            for other in others[1:]:
                found._join(others[0].numpy(), other.numpy())
            self.label(result, others[0].clone())
        else:  # mixes channels in a way of its own: they stay, and what comes out is new
            for value in followed:
                found.pinned.update(np.unique(self.labels[id(value)].numpy()).tolist())
            for value in _tensors(result):
                self._pin_new(value)

    def _pin_new(self, value: torch.Tensor) -> None:
        ids = self.found._new(1)
        self.found.pinned.update(ids.tolist())
        self.label(value, torch.full(value.shape, int(ids[0])))

    def _layer(self, kind: str, args: Any, kwargs: Any, labels: torch.Tensor, result: torch.Tensor) -> None:
        found = self.found
        tensors = [value for value in _tensors((args, kwargs)) if id(value) in self.weights]
        name = self.weights[id(tensors[0])] if tensors else ""
        if kind == "linear":
            inputs = labels.reshape(-1).numpy()  # every feature is an input of its own
            outputs = found._new(result.shape[-1])
            if labels.shape[0] != 1 or labels.ndim != 2:
                raise ValueError(f"linear layer {name}: expected one row of features, found {tuple(labels.shape)}")
        else:
            inputs = found._per_channel(labels)
            outputs = inputs
        if kind == "conv2d":
            groups = kwargs.get("groups", args[6] if len(args) > 6 else 1)
            n_in, n_out = len(inputs), result.shape[1]
            if groups == 1:
                outputs = found._new(n_out)
            elif groups == n_in:
                outputs = found._new(n_out)
                found._join(np.repeat(inputs, n_out // n_in), outputs)
            else:
                raise ValueError(f"convolution {name}: groups {groups} of {n_in} channels cannot be followed")
        if name:
            if name in found.layers:
                raise ValueError(f"layer {name}: used twice; pruning cannot follow shared layers")
            found.layers[name] = LayerUse(name, inputs, outputs)
        self.label(result, _spread(outputs, result.shape))


def follow_channels(network: nn.Module, in_channels: int, size_px: int) -> Channels:
    """Follows every channel of the network on one picture.

    Args:
        network: any of ``MODELS``; not changed.
        in_channels: of the input, which are pinned.
        size_px: side of the input.

    Raises:
        ValueError: a layer that surgery could not cut (shared weights, grouped convolutions).
    """
    found = Channels()
    weights = {
        id(module.weight): name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d | nn.PReLU)
    }
    mode = _Follow(found, weights)
    hooks = []

    def structural(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[torch.Tensor, ...], result: Any) -> None:
            labels = [mode.of(value) for value in (*args, *_tensors(result))]
            rows = [found._per_channel(value) for value in labels if value is not None]
            found.layers[name] = LayerUse(name, rows[0], np.concatenate(rows[1:]))

        return hook

    for name, module in network.named_modules():
        if isinstance(module, ChannelSplit | ChannelShuffle):
            hooks.append(module.register_forward_hook(structural(name)))
    was_training, x = network.training, torch.zeros(1, in_channels, size_px, size_px)
    x = x.to(next(network.parameters()).dtype)
    source = found._new(in_channels)
    found.pinned.update(source.tolist())
    mode.label(x, _spread(source, x.shape))
    try:
        network.eval()
        with torch.no_grad(), mode:
            logits = network(x)
        found.pinned.update(np.unique(mode.labels[id(logits)].numpy()).tolist())  # classes stay
    finally:
        network.train(was_training)
        for handle in hooks:
            handle.remove()
    return found


def _spread(ids: Ids, shape: torch.Size) -> torch.Tensor:
    """Labels of a tensor whose axis 1 holds these channels."""
    view = (1, len(ids), *(1,) * (len(shape) - 2))
    return torch.from_numpy(ids).view(view).expand(shape).clone()


def _touches_channels(args: Any, kwargs: Any, ndim: int) -> bool:
    axes = kwargs.get("dim", args[1] if len(args) > 1 else None)
    listed = range(ndim) if axes is None else (axes,) if isinstance(axes, int) else axes
    return any(axis % ndim in (0, 1) for axis in listed)


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [tensor for item in value for tensor in _tensors(item)] if isinstance(value, list | tuple) else []


def _swap(value: Any, labels: dict[int, torch.Tensor]) -> Any:
    """The arguments with every followed tensor replaced by its labels."""
    if isinstance(value, torch.Tensor):
        return labels.get(id(value), value)
    if isinstance(value, dict):
        return {key: _swap(item, labels) for key, item in value.items()}
    return type(value)(_swap(item, labels) for item in value) if type(value) in (list, tuple) else value
