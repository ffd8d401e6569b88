"""What gated pruning is measured against: network slimming, growing regularization, uniform width.

All start from the same weights, take the same number of epochs and the same recovery, and are cut by the same surgery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from fer_host.errors import RecipeError
from fer_host.prune.channels import Channels
from fer_host.recipe.prune import Floor

GREG_EVERY = 5  # updates between two growths (GReg, Wang et al. 2021; 10 on CIFAR)
# of all updates: 1e-4 every 5 reaches 1 after 50,000, then 40,000 settle (the paper's ImageNet run, at any length here)
GREG_GROWS = 5 / 9


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
        RecipeError: not even the largest share does.
    """
    low, high = 0.0, 1.0
    if not fits(order(high)):
        raise RecipeError("budget: below what the floors leave; expected a larger one, or a lower [prune] floor")
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(order(middle)) else (middle, high)
    return order(high)


@dataclass(frozen=True)
class Growth:
    """How GReg's penalty grows.

    Attributes:
        ceiling: its largest value, reached after ``GREG_GROWS`` of all updates.
        n_updates: of the whole training.
        done: updates of an earlier session.
    """

    ceiling: float
    n_updates: int
    done: int = 0

    def at(self, update: int) -> float:
        """The penalty at an update of this session, from 0."""
        growths = 1 + (self.done + update) // GREG_EVERY
        return self.ceiling * min(1.0, growths / max(1.0, GREG_GROWS * self.n_updates / GREG_EVERY))


@contextmanager
def growing_penalty(network: nn.Module, channels: Channels, removed: list[int], growth: Growth) -> Iterator[None]:
    """GReg-1: inside, an L2 penalty on the filters to be removed grows every ``GREG_EVERY`` updates.

    It acts on the gradients of those filters' weights, gammas and betas, so any training loop applies it.

    Args:
        network: in training.
        channels: of the network.
        removed: groups to be removed.
        growth: of the penalty.
    """
    gone, handles = {channels.root(root) for root in removed}, []
    for name, use in channels.layers.items():
        module = network.get_submodule(name)
        if not isinstance(module, nn.Conv2d | nn.BatchNorm1d | nn.BatchNorm2d):
            continue
        marked = torch.from_numpy(np.isin(channels.roots(use.outputs), list(gone)))
        for parameter in module.parameters(recurse=False):
            handles.append(parameter.register_hook(_Grow(parameter, marked, growth)))  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Grow:
    """Adds penalty * weight to the gradient of the marked filters."""

    def __init__(self, parameter: nn.Parameter, marked: torch.Tensor, growth: Growth) -> None:
        self.parameter, self.growth, self.updates = parameter, growth, 0
        self.marked = marked.view(-1, *(1,) * (parameter.ndim - 1)).to(parameter.dtype)

    def __call__(self, gradient: torch.Tensor) -> torch.Tensor:
        penalty = self.growth.at(self.updates)
        self.updates += 1
        return gradient + penalty * self.marked * self.parameter.detach()
