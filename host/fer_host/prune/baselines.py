"""What gated pruning is measured against: network slimming, growing regularization, uniform width.

All start from the same weights, take the same number of epochs and the same recovery, and are cut by the same surgery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from fer_host.prune.channels import Channels
from fer_host.prune.config import Floor

GREG_EVERY = 5  # steps between two growths (GReg, Wang et al. 2021; 10 on CIFAR)


def gamma_scores(channels: Channels, network: nn.Module) -> dict[int, float]:
    """Network slimming (Liu et al. 2017): |gamma| of a batch-norm channel, the largest one of a tied group."""
    pinned = {channels.root(channel) for channel in channels.pinned}
    found: dict[int, float] = {}
    for name, use in channels.layers.items():
        module = network.get_submodule(name)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            gammas = module.weight.detach().abs().tolist()
            for root, gamma in zip(channels.roots(use.outputs).tolist(), gammas, strict=True):
                if root not in pinned:
                    found[root] = max(found.get(root, 0.0), gamma)
    return found


def norm_scores(channels: Channels, network: nn.Module) -> dict[int, float]:
    """L1 norm of the convolution filters that make a group's channels, relative to their layer's mean, summed."""
    gated = set(gamma_scores(channels, network))
    found: dict[int, float] = {}
    for name, use in channels.layers.items():
        module = network.get_submodule(name)
        if isinstance(module, nn.Conv2d):
            norms = module.weight.detach().abs().flatten(1).sum(dim=1)
            relative = (norms / norms.mean().clamp(min=1e-12)).tolist()
            for root, norm in zip(channels.roots(use.outputs).tolist(), relative, strict=True):
                if root in gated:
                    found[root] = found.get(root, 0.0) + norm
    return found


def lowest_share(
    channels: Channels, scores: dict[int, float], share: float, start_widths: dict[str, int], floor: Floor
) -> list[int]:
    """The same share of every set of tied layers, lowest scores first.

    Args:
        channels: of the network.
        scores: by group; only these may go.
        share: of each set's groups, 0..1.
        start_widths: output channels of every layer before any pruning.
        floor: what every layer keeps.
    """
    layers_of: dict[int, set[str]] = {}
    for name, use in channels.layers.items():
        for root in np.unique(channels.roots(use.outputs)).tolist():
            layers_of.setdefault(root, set()).add(name)
    sets: dict[frozenset[str], list[int]] = {}
    for root in scores:
        sets.setdefault(frozenset(layers_of[root]), []).append(root)
    left = {name: len(use.outputs) for name, use in channels.layers.items()}
    per_layer = {
        name: dict(zip(*np.unique(channels.roots(use.outputs), return_counts=True), strict=True))
        for name, use in channels.layers.items()
    }
    gone = []
    for names, roots in sorted(sets.items(), key=lambda item: sorted(item[0])):
        for root in sorted(roots, key=lambda group: (scores[group], group))[: int(share * len(roots))]:
            if all(left[name] - int(per_layer[name][root]) >= floor.of(start_widths[name]) for name in names):
                for name in names:
                    left[name] -= int(per_layer[name][root])
                gone.append(root)
    return gone


def smallest_that_fits(
    order: Callable[[float], list[int]], fits: Callable[[list[int]], bool], steps: int = 12
) -> list[int]:
    """Bisects the share to remove: the least that meets the budget.

    Args:
        order: share 0..1 -> groups to remove, more for a larger share.
        fits: whether the network without them meets the budget.
        steps: of the bisection.

    Raises:
        ValueError: not even the largest share does.
    """
    low, high = 0.0, 1.0
    if not fits(order(high)):
        raise ValueError("the budget is below what the floors leave; lower the floors or raise the budget")
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(order(middle)) else (middle, high)
    return order(high)


@contextmanager
def growing_penalty(
    network: nn.Module, channels: Channels, removed: list[int], step: float, ceiling: float
) -> Iterator[None]:
    """GReg-1: inside, an L2 penalty on the filters to be removed grows by ``step`` every ``GREG_EVERY`` updates.

    It acts on the gradients of those filters' weights, gammas and betas, so any training loop applies it.

    Args:
        network: in training.
        channels: of the network.
        removed: groups to be removed.
        step: added to the penalty each time.
        ceiling: its largest value.
    """
    gone, handles = {channels.root(root) for root in removed}, []
    for name, use in channels.layers.items():
        module = network.get_submodule(name)
        if not isinstance(module, nn.Conv2d | nn.BatchNorm1d | nn.BatchNorm2d):
            continue
        marked = torch.from_numpy(np.isin(channels.roots(use.outputs), list(gone)))
        for parameter in module.parameters(recurse=False):
            handles.append(parameter.register_hook(_Grow(parameter, marked, step, ceiling)))  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Grow:
    """Adds penalty * weight to the gradient of the marked filters."""

    def __init__(self, parameter: nn.Parameter, marked: torch.Tensor, step: float, ceiling: float) -> None:
        self.parameter, self.step, self.ceiling, self.updates = parameter, step, ceiling, 0
        self.marked = marked.view(-1, *(1,) * (parameter.ndim - 1)).to(parameter.dtype)

    def __call__(self, gradient: torch.Tensor) -> torch.Tensor:
        penalty = min(self.ceiling, self.step * (1 + self.updates // GREG_EVERY))
        self.updates += 1
        return gradient + penalty * self.marked * self.parameter.detach()
