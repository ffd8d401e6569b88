"""The table that every allocator reads: what each width of each channel would cost in bytes and in loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fer_host.quantize.fold import quantized_layers
from fer_host.quantize.grid import WIDTHS, best_scales
from fer_host.quantize.policy import BitPolicy, channel_bytes, digits, weights_per_channel
from fer_host.quantize.traces import Traces


@dataclass(frozen=True)
class SensitivityTable:
    """Channels of all layers, one after another.

    Attributes:
        layers: layer name -> number of its output channels, in order.
        n_weights: (channels,) weights of each.
        mean_trace: (channels,) trace of the channel's Hessian block over its weights; never below 0.
        error: (channels, widths) squared quantization error ``||Q(w) - w||^2`` at each of ``WIDTHS``.
        beside: bytes that a channel takes beside its weights.
    """

    layers: dict[str, int]
    n_weights: NDArray[np.int64]
    mean_trace: NDArray[np.float64]
    error: NDArray[np.float64]
    beside: float = field(default_factory=channel_bytes)

    @cached_property
    def loss(self) -> NDArray[np.float64]:
        """(channels, widths): mean trace x squared error, HAWQ-V2's sensitivity of a width."""
        return np.asarray(self.mean_trace[:, None] * self.error, dtype=np.float64)

    @cached_property
    def weight_bytes(self) -> NDArray[np.float64]:
        """(channels, widths) effective bytes, a channel's scale, bias and width included."""
        return np.asarray(self.n_weights[:, None] * np.array(WIDTHS) / 8 + self.beside, dtype=np.float64)

    @cached_property
    def layer_of(self) -> NDArray[np.int64]:
        """(channels,) number of the layer that each belongs to."""
        return np.repeat(np.arange(len(self.layers)), list(self.layers.values()))

    def proxy(self, choice: NDArray[np.int64]) -> float:
        """Loss of a choice (channels,) of indices into ``WIDTHS``."""
        return float(self.loss[np.arange(len(choice)), choice].sum())

    def bytes_of(self, choice: NDArray[np.int64]) -> float:
        """Effective bytes of a choice."""
        return float(self.weight_bytes[np.arange(len(choice)), choice].sum())

    def policy(
        self,
        choice: NDArray[np.int64],
        allocator: str,
        budget_bytes: float,
        *,
        bound: float | None = None,
        seconds: float = 0.0,
        notes: dict[str, float] | None = None,
    ) -> BitPolicy:
        """A choice as a document."""
        ends = np.cumsum(list(self.layers.values()))[:-1]
        parts = np.split(np.array(WIDTHS)[choice], ends)
        bits = digits(dict(zip(self.layers, parts, strict=True)))
        return BitPolicy(bits, allocator, budget_bytes, self.proxy(choice), bound, round(seconds, 3), notes=notes or {})


def above_zero(trace: NDArray[np.float64]) -> NDArray[np.float64]:
    """Traces with those that are not above 0 raised to the smallest that is, so that no channel is free."""
    positive = trace[trace > 0]
    return np.maximum(trace, positive.min() if len(positive) else 1.0)


@torch.no_grad()
def sensitivity_table(network: nn.Module, traces: Traces) -> SensitivityTable:
    """Measures the quantization errors of a folded network and joins them with its traces.

    Estimates below 0, which are noise, count as the smallest positive trace.
    """
    layers = quantized_layers(network)
    counts = weights_per_channel(network)
    errors = []
    for layer in layers.values():
        weight = layer.weight.detach()
        widths = [best_scales(weight, torch.full((len(weight),), bits))[1] for bits in WIDTHS]
        errors.append(torch.stack(widths, 1).double().numpy())
    n_weights = np.concatenate([counts[name] for name in layers])
    trace = np.concatenate([traces[name] for name in layers])
    trace = above_zero(trace)
    # more bits never hurt: the grid of steps that is searched is coarse
    error = np.minimum.accumulate(np.concatenate(errors), axis=1)
    return SensitivityTable(
        {name: len(layer.weight) for name, layer in layers.items()}, n_weights, trace / n_weights, error
    )
