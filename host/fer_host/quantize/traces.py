"""How sharply the loss curves along each channel: traces of the Hessian, estimated and exact.

Hutchinson's estimate (HAWQ-V2, Dong et al. 2020, arXiv 1911.03852; the thesis masks one channel at a time): one
Hessian-vector product serves all channels, because the expectation of z * (Hz), summed inside a channel, is that
channel's trace.

The exact form: with piecewise linear activations and batch norm in eval mode the loss is linear below the softmax, so
each layer's block of the Hessian is its Gauss-Newton block, whose trace is the mean over x of
sum_c p_c ||d log p_c / dw||^2. It needs no double backward and is never negative. With Mish or h-swish it is the
Gauss-Newton (Fisher) trace, an approximation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from fer_host.quantize.fold import quantized_layers

Traces = dict[str, NDArray[np.float64]]  # layer -> (C,) trace of each channel's block
_LEAST_DRAWS = 10  # two lucky draws must not end it


@dataclass(frozen=True)
class Estimate:
    """Traces, and how they were come by.

    Attributes:
        traces: by layer and channel.
        n: draws (Hutchinson) or samples (exact) used.
        change: relative change of the mean over the last tenth of them; small where it has converged.
    """

    traces: Traces
    n: int
    change: float


def hutchinson(
    network: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    *,
    draws: int = 100,
    kind: Literal["rademacher", "gaussian"] = "rademacher",
    tolerance: float = 1e-3,
    together: bool = True,
    seed: int = 0,
) -> Estimate:
    """Traces per output channel of the weights, of the mean cross-entropy over a batch.

    Args:
        network: batch norms folded or in eval mode.
        inputs: (N, C, H, W), normalized.
        targets: (N, classes) distributions, or (N,) class indices.
        draws: at most; fewer once the running mean changes by less than ``tolerance`` (relative) over ten draws.
        kind: of the random vectors; Rademacher's variance is the smaller.
        tolerance: see ``draws``.
        together: one product for all layers; else one per layer, which keeps a layer's noise out of the others'.
        seed: of the draws.
    """
    layers = quantized_layers(network)
    weights = [layer.weight for layer in layers.values()]
    random = torch.Generator().manual_seed(seed)
    loss = functional.cross_entropy(network(inputs), targets)
    gradients = torch.autograd.grad(loss, weights, create_graph=True)
    sums = [torch.zeros(len(weight), dtype=torch.float64) for weight in weights]
    totals: list[float] = []
    for draw in range(draws):
        vectors = [_draw(weight, kind, random) for weight in weights]
        products: Sequence[torch.Tensor]
        if together:
            products = torch.autograd.grad(gradients, weights, vectors, retain_graph=True)
        else:
            products = [
                torch.autograd.grad(gradient, weight, vector, retain_graph=True)[0]
                for gradient, weight, vector in zip(gradients, weights, vectors, strict=True)
            ]
        for total, vector, product in zip(sums, vectors, products, strict=True):
            total += (vector * product).flatten(1).sum(1).double()
        totals.append(float(sum(total.sum() for total in sums)) / (draw + 1))
        if draw + 1 >= 2 * _LEAST_DRAWS and _change(totals, _LEAST_DRAWS) < tolerance:
            break
    n = len(totals)
    del gradients, loss  # the graph that they hold
    traces = {name: (total / n).numpy() for name, total in zip(layers, sums, strict=True)}
    return Estimate(traces, n, _change(totals, _LEAST_DRAWS))


def exact(
    network: nn.Module,
    inputs: torch.Tensor,
    *,
    tolerance: float = 0.0,
    quiet: bool = True,
    sets: Sequence[slice] = (slice(None),),
) -> Estimate:
    """Traces per output channel of the weights by Gauss-Newton; see the module's text for when they are exact.

    Args:
        network: batch norms folded or in eval mode.
        inputs: (N, C, H, W); the mean goes over N. Labels do not matter.
        tolerance: stop early once the total changed by less than this (relative) over the last tenth; 0: use all.
        quiet: show no progress.
        sets: the outputs of each label set; the loss is the sum over the sets.
    """
    layers = quantized_layers(network)
    weights = [layer.weight for layer in layers.values()]

    def squares(x: torch.Tensor) -> list[torch.Tensor]:
        logits = network(x)
        log_p = torch.cat([functional.log_softmax(logits[:, own], dim=1)[0] for own in sets])
        found = [torch.zeros(len(weight), dtype=torch.float64) for weight in weights]
        for c in range(len(log_p)):
            for total, gradient in zip(found, torch.autograd.grad(log_p[c], weights, retain_graph=True), strict=True):
                total += log_p[c].exp().item() * gradient.flatten(1).square().sum(1).double()
        return found

    return _mean_over_samples(list(layers), inputs, squares, tolerance, quiet)


def exact_activations(
    network: nn.Module, inputs: torch.Tensor, *, tolerance: float = 0.0, quiet: bool = True
) -> Estimate:
    """Likewise for each channel of every layer's input: the thesis' activation traces.

    Returns:
        layer -> (input channels,) trace of the block of that channel's whole map, mean over samples.
    """
    layers = quantized_layers(network)
    caught: dict[str, torch.Tensor] = {}

    def catch(name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], tuple[torch.Tensor, ...]]:
        def hook(_: nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            value = arguments[0] if arguments[0].requires_grad else arguments[0].requires_grad_()
            # a tensor of its own: two layers may read the same one, and in-place operators may change it
            caught[name] = value.clone()
            return (caught[name], *arguments[1:])

        return hook

    handles = [layer.register_forward_pre_hook(catch(name)) for name, layer in layers.items()]

    def squares(x: torch.Tensor) -> list[torch.Tensor]:
        caught.clear()
        log_p = functional.log_softmax(network(x), dim=1)[0]
        maps = [caught[name] for name in layers]
        found = [torch.zeros(value.shape[1], dtype=torch.float64) for value in maps]
        for c in range(len(log_p)):
            gradients = torch.autograd.grad(log_p[c], maps, retain_graph=True)
            for total, gradient in zip(found, (g.unsqueeze(-1) for g in gradients), strict=True):
                total += log_p[c].exp().item() * gradient[0].flatten(1).square().sum(1).double()
        return found

    try:
        return _mean_over_samples(list(layers), inputs, squares, tolerance, quiet)
    finally:
        for handle in handles:
            handle.remove()


def _mean_over_samples(
    names: list[str],
    inputs: torch.Tensor,
    squares: Callable[[torch.Tensor], list[torch.Tensor]],
    tolerance: float,
    quiet: bool,
) -> Estimate:
    sums: list[torch.Tensor] = []
    totals: list[float] = []
    for i in tqdm(range(len(inputs)), desc="traces", unit="face", disable=True if quiet else None, leave=False):
        found = squares(inputs[i : i + 1].clone())
        sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
        totals.append(float(sum(total.sum() for total in sums)) / (i + 1))
        if tolerance and i + 1 >= 64 and _change(totals, (i + 1) // 10) < tolerance:
            break
    n = len(totals)
    traces = {name: (total / n).numpy() for name, total in zip(names, sums, strict=True)}
    return Estimate(traces, n, _change(totals, max(1, n // 10)))


def _change(means: list[float], back: int) -> float:
    """Relative change of a running mean since ``back`` entries ago; infinite where there are too few."""
    if len(means) <= back:
        return float("inf")
    return abs(means[-1] - means[-1 - back]) / (abs(means[-1]) + 1e-12)


def _draw(like: torch.Tensor, kind: str, random: torch.Generator) -> torch.Tensor:
    if kind == "gaussian":
        return torch.randn(like.shape, generator=random, dtype=like.dtype)
    return torch.randint(0, 2, like.shape, generator=random).to(like.dtype) * 2 - 1
