"""Bits for activations, channel by channel, as the thesis has them: simulated only.

tflite has one scale an activation tensor, 8 or 16 bits wide, so no file can hold this. What it shows is how far
activations could go if a runtime could.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from fer_host.quantize.fold import quantized_layers
from fer_host.quantize.grid import WIDTHS
from fer_host.quantize.policy import BitPolicy
from fer_host.quantize.sensitivity import SensitivityTable, above_zero
from fer_host.quantize.traces import exact_activations

Ranges = dict[str, tuple[torch.Tensor, torch.Tensor]]  # layer -> (low, high), each (input channels,)
Hook = Callable[[nn.Module, tuple[torch.Tensor, ...]], tuple[torch.Tensor, ...] | None]


def input_ranges(network: nn.Module, inputs: torch.Tensor) -> Ranges:
    """Least and largest value of each channel of every layer's input; the range always holds 0.

    Args:
        network: in eval mode.
        inputs: (N, C, H, W), normalized.
    """
    found: Ranges = {}

    def note(name: str, value: torch.Tensor) -> torch.Tensor:
        axes = [axis for axis in range(value.dim()) if axis != 1]
        low, high = value.amin(axes).clamp_max(0), value.amax(axes).clamp_min(0)
        if name in found:
            low, high = torch.minimum(low, found[name][0]), torch.maximum(high, found[name][1])
        found[name] = low, high
        return value

    with _at_inputs(network, note), torch.no_grad():
        for batch in torch.split(inputs, 64):
            network(batch)
    return found


def quantize_channels(value: torch.Tensor, low: torch.Tensor, high: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    """An activation (N, C, ...) on an affine grid of 2^bits levels from low to high, channel by channel."""
    shape = (1, -1, *[1] * (value.dim() - 2))
    levels = torch.exp2(bits.float()) - 1
    step = ((high - low) / levels).clamp_min(1e-12)
    zero = torch.round(-low / step)
    step, zero, levels = (part.view(shape) for part in (step, zero, levels))
    whole = (torch.round(value / step) + zero).clamp_min(0)
    return (torch.minimum(whole, levels) - zero) * step


def activation_table(network: nn.Module, inputs: torch.Tensor, ranges: Ranges, n_traces: int) -> SensitivityTable:
    """Sensitivities of input channels: mean trace x mean squared error a sample, cost in bytes of one sample's maps.

    Args:
        network: folded, in eval mode.
        inputs: (N, C, H, W); errors are measured on all.
        ranges: see ``input_ranges``.
        n_traces: samples, the first ones, that the traces are a mean over.
    """
    layers = list(quantized_layers(network))
    traces = exact_activations(network, inputs[:n_traces]).traces
    sums = {name: torch.zeros(len(ranges[name][0]), len(WIDTHS), dtype=torch.float64) for name in layers}
    sizes: dict[str, int] = {}

    def measure(name: str, value: torch.Tensor) -> torch.Tensor:
        axes = [axis for axis in range(value.dim()) if axis != 1]
        sizes[name] = value[0, 0].numel()
        for i, width in enumerate(WIDTHS):
            at = quantize_channels(value, *ranges[name], torch.full((value.shape[1],), width))
            sums[name][:, i] += (at - value).square().sum(axes).double()
        return value

    with _at_inputs(network, measure), torch.no_grad():
        for batch in torch.split(inputs, 64):
            network(batch)
    trace = above_zero(np.concatenate([traces[name] for name in layers]))
    n_values = np.concatenate([np.full(len(ranges[name][0]), sizes[name]) for name in layers])
    error = np.concatenate([(sums[name] / len(inputs)).numpy() for name in layers])
    error = np.minimum.accumulate(error, axis=1)
    return SensitivityTable({n: len(ranges[n][0]) for n in layers}, n_values, trace / n_values, error, 0.0)


@contextmanager
def simulated(network: nn.Module, policy: BitPolicy, ranges: Ranges) -> Iterator[None]:
    """Inside, every layer sees its input on the policy's grids."""

    def quantize(name: str, value: torch.Tensor) -> torch.Tensor:
        return quantize_channels(value, *ranges[name], torch.from_numpy(policy.of(name)))

    with _at_inputs(network, quantize):
        yield


@contextmanager
def _at_inputs(network: nn.Module, change: Callable[[str, torch.Tensor], torch.Tensor]) -> Iterator[None]:
    def hook(name: str) -> Hook:
        return lambda _, arguments: (change(name, arguments[0]), *arguments[1:])

    handles = [layer.register_forward_pre_hook(hook(name)) for name, layer in quantized_layers(network).items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
