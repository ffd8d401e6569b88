"""The loss that a bit policy leaves a network with on images that it was not chosen on: the agents' reward."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from fer_host.quantize.fold import quantized_layers
from fer_host.quantize.grid import WIDTHS, best_scales, on_grid
from fer_host.quantize.policy import BitPolicy


class HeldOutLoss:
    """Loss of a folded network with its weights on a policy's grids.

    Args:
        network: folded; not changed.
        inputs: (N, C, H, W).
        labels: (N,) class indices.
        n_classes: the first outputs, which ``labels`` are of; None: all.
    """

    def __init__(
        self, network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, n_classes: int | None = None
    ) -> None:
        self.network, self.n_classes = network, n_classes
        self.inputs = inputs.contiguous(memory_format=torch.channels_last)
        self.labels = labels
        self._grids: dict[str, torch.Tensor] = {}  # layer -> (widths, C, ...), all its weights at every width
        with torch.no_grad():
            for name, layer in quantized_layers(network).items():
                weight = layer.weight.detach()
                at = []
                for bits in WIDTHS:
                    all_bits = torch.full((len(weight),), bits)
                    at.append(on_grid(weight, best_scales(weight, all_bits)[0], all_bits))
                self._grids[name] = torch.stack(at)

    @torch.no_grad()
    def __call__(self, policy: BitPolicy) -> float:
        """Mean cross-entropy."""
        weights = {}
        for name, at in self._grids.items():
            bits = torch.from_numpy(policy.of(name))
            weights[f"{name}.weight"] = at[bits - WIDTHS[0], torch.arange(len(bits))]
        return self._mean(weights)

    @torch.no_grad()
    def in_float(self) -> float:
        """Likewise with the weights as they were."""
        return self._mean({})

    def _mean(self, weights: dict[str, torch.Tensor]) -> float:
        total = 0.0
        for start in range(0, len(self.inputs), 128):
            rows = slice(start, start + 128)
            logits = torch.func.functional_call(self.network, weights, (self.inputs[rows],))[:, : self.n_classes]
            total += float(functional.cross_entropy(logits, self.labels[rows], reduction="sum"))
        return total / len(self.inputs)
