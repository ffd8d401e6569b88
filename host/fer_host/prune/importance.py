"""What a channel is worth: how much the loss would change if its gate were closed, to first order.

A gate is a factor of 1 behind a batch norm. It scales what gamma and beta give together, so a closed gate is zero
behind ReLU6 too; with a gate on gamma alone, beta would leak through (facts sheet 004, Molchanov et al. 2019).
The gate's gradient times the gate, sum over positions of dL/dy * y, is gamma dL/dgamma + beta dL/dbeta.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fer_host.prune.channels import Channels
from fer_host.recipe.prune import Form

Scores = dict[str, NDArray[np.float64]]  # batch norm's name -> a score a channel


def gate_scores(products: NDArray[np.float64], form: Form) -> NDArray[np.float64]:
    """One batch's contribution to the scores.

    Args:
        products: (N, C), each sample's gate gradient times gate.
        form: see ``Form``; "per_batch" is at most "per_sample", by the triangle inequality.

    Returns:
        (C,) at least 0.
    """
    if form == "per_sample":
        return np.asarray(np.abs(products).sum(axis=0))
    return np.asarray(np.abs(products.sum(axis=0)))


@contextmanager
def gates(network: nn.Module, form: Form) -> Iterator[Scores]:
    """Inside, every backward pass adds to the scores of each batch norm's channels."""
    scores: Scores = {}
    hooks = []

    def watch(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, y: torch.Tensor) -> None:
            if not y.requires_grad:
                return
            kept = y.detach().clone()  # an in-place activation follows
            n_channels = y.shape[1]  # the hook must not hold y, which holds the hook: nothing would ever be freed

            def add(gradient: torch.Tensor) -> None:
                axes = tuple(range(2, gradient.ndim))
                products = (gradient * kept).sum(dim=axes).double().numpy() if axes else (gradient * kept).numpy()
                scores[name] = scores.get(name, np.zeros(n_channels)) + gate_scores(products, form)

            y.register_hook(add)  # type: ignore[no-untyped-call]

        return hook

    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            hooks.append(module.register_forward_hook(watch(name)))
    try:
        yield scores
    finally:
        for handle in hooks:
            handle.remove()


def measure_gates(
    network: nn.Module,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    form: Form = "per_sample",
) -> Scores:
    """Scores over a data set; nothing is trained, batch norm keeps its running statistics.

    Args:
        network: left in the mode it was in.
        batches: inputs (N, C, H, W) and target distributions (N, classes).
        loss: of logits and targets, a mean over the batch (scaled by N inside, so that batch sizes do not matter).
        form: see ``Form``.
    """
    was_training = network.training
    network.eval()
    try:
        with gates(network, form) as scores:
            for x, targets in batches:
                (loss(network(x), targets) * len(x)).backward()  # type: ignore[no-untyped-call]
    finally:
        network.zero_grad(set_to_none=True)
        network.train(was_training)
    return scores


def group_scores(channels: Channels, scores: Scores) -> dict[int, float]:
    """Score of each group that has a gate and is free: the sum over its gates (Gate Decorator's rule).

    A group is what ``Channels.root`` says. A longer chain of tied layers has more gates and so a higher sum: it also
    costs more to lose. Groups without a gate of their own (a squeeze layer without batch norm) are not scored and stay.
    """
    found: dict[int, float] = {}
    pinned = {channels.root(channel) for channel in channels.pinned}
    for name, values in scores.items():
        for root, value in zip(channels.roots(channels.layers[name].outputs).tolist(), values.tolist(), strict=True):
            if root not in pinned:
                found[root] = found.get(root, 0.0) + value
    return found
