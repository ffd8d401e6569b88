"""Batch norms folded into the layers before them: what is tuned is then exactly what the tflite file holds."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from fer_host.errors import WeightsError

Layer = nn.Conv1d | nn.Conv2d | nn.Linear  # layers whose weights get bits; output channels are axis 0 of all
LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_TOLERANCE = 1e-9  # relative, in float64


def quantized_layers(network: nn.Module) -> dict[str, Layer]:
    """Layers with weights by module name, in the network's order."""
    return {name: module for name, module in network.named_modules() if isinstance(module, LAYERS)}


def fold_batch_norms(network: nn.Module, in_channels: int, size_px: int) -> nn.Module:
    """A copy in eval mode in which every batch norm directly after a convolution or linear layer is part of it.

    Found by running the network: a norm is folded where its input is the very tensor that a layer gave, or several
    layers' tensors one after another (mixed kernels). Others stay.

    Args:
        network: not changed.
        in_channels: of its input.
        size_px: side of its input.

    Returns:
        The copy; its layers have biases, folded norms are ``nn.Identity``.

    Raises:
        WeightsError: folding changed the result, because a layer's output is also used elsewhere.
    """
    folded = copy.deepcopy(network).eval().double()
    x = torch.randn(2, in_channels, size_px, size_px, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        before = folded(x)
        for norm_name, layer_names in _layers_before(folded, x).items():
            _fold([folded.get_submodule(name) for name in layer_names], folded.get_submodule(norm_name))
            parent, _, leaf = norm_name.rpartition(".")
            setattr(folded.get_submodule(parent), leaf, nn.Identity())
        after = folded(x)
    error = float((after - before).abs().max() / before.abs().max().clamp_min(1e-30))
    if not error <= _TOLERANCE:  # NaN too
        raise WeightsError(
            f"folding batch norms of {type(network).__name__}: relative error {error:.1e}, expected at most "
            f"{_TOLERANCE:.0e}; a layer before a batch norm feeds something else as well"
        )
    return folded.float()


def _layers_before(network: nn.Module, x: torch.Tensor) -> dict[str, list[str]]:
    """Batch norm -> the layers whose outputs, one after another along the channels, are its input."""
    found: dict[str, list[str]] = {}
    made = _Made()

    def look(name: str, module: nn.Module) -> Any:
        def hook(_: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            if isinstance(module, LAYERS):
                made.note(output, [name])
            else:
                layers = made.by(inputs[0])
                if layers is not None:
                    found[name] = layers

        return module.register_forward_hook(hook)

    named = [(n, m) for n, m in network.named_modules() if isinstance(m, (*LAYERS, *_NORMS))]
    handles = [look(name, module) for name, module in named]
    try:
        with made:
            network(x)
    finally:
        for handle in handles:
            handle.remove()
    return found


class _Made(TorchFunctionMode):
    """Which layers made a tensor; follows ``torch.cat`` along the channels."""

    def __init__(self) -> None:
        super().__init__()
        self._known: list[tuple[torch.Tensor, list[str]]] = []  # tensors are kept: an id would be used again

    def note(self, tensor: torch.Tensor, layers: list[str]) -> None:
        self._known.append((tensor, layers))

    def by(self, tensor: torch.Tensor) -> list[str] | None:
        return next((layers for known, layers in self._known if known is tensor), None)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.cat and (kwargs or {}).get("dim", args[1] if len(args) > 1 else 0) == 1:
            parts = [self.by(part) for part in args[0]]
            if all(part is not None for part in parts):
                self.note(result, [layer for part in parts for layer in part or []])
        return result


def _fold(layers: list[nn.Module], norm: nn.Module) -> None:
    assert isinstance(norm, _NORMS)
    assert norm.running_var is not None
    assert norm.running_mean is not None
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    start = 0
    for layer in layers:
        assert isinstance(layer, LAYERS)
        mine = slice(start, start + len(layer.weight))
        bias = layer.bias if layer.bias is not None else torch.zeros_like(norm.running_mean[mine])
        layer.bias = nn.Parameter((bias - norm.running_mean[mine]) * factor[mine] + norm.bias[mine])
        layer.weight = nn.Parameter(layer.weight * factor[mine].view(-1, *[1] * (layer.weight.dim() - 1)))
        start = mine.stop
