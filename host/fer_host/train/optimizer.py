"""Optimizers and learning-rate schedules by their recipe's constants, and the two steps of SAM."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from fer_host.recipe.train import OptimizerConfig, ScheduleConfig


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """SGD or Adam; weight decay on matrices and kernels only."""
    trained = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in trained if p.ndim > 1]
    plain = [p for p in trained if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    if config.kind == "adam":
        return torch.optim.Adam(groups, lr=config.lr, betas=(config.momentum, 0.999))
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0)


def learning_rate(step: int, total: int, epoch: int, lr: float, config: ScheduleConfig) -> float:
    """The rate at ``step`` of ``total``, in ``epoch``; ``lr`` is the largest one.

    "trapezoid" is a linear rise, a plateau and a linear fall (Hu et al. 2024, arXiv 2404.06395, section 4);
    "one_cycle" is a linear rise and a cosine to zero (Smith 2018).
    """
    if config.kind == "step":
        return lr * config.factor ** (epoch // config.every_epochs)
    if config.kind == "exponential":
        return lr * config.factor**epoch
    if config.kind == "constant":
        return lr
    warm = max(config.kind != "trapezoid", int(total * config.warmup))
    if step < warm:
        return lr * (step + 1) / warm
    if config.kind == "trapezoid":
        falling = max(1, int(total * config.decay))
        return lr * min(1.0, (total - step) / falling)
    return lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


@contextmanager
def at_sharpest_neighbor(model: nn.Module, rho: float) -> Iterator[None]:
    """SAM's first step (Foret et al. 2021, eq. 2): the weights move by ``rho`` along their gradient, and back after.

    Inside, the gradient is cleared and batch norm's running statistics stand still, so that the second pass changes
    nothing but gradients.
    """
    parameters = [p for p in model.parameters() if p.grad is not None]
    with torch.no_grad():
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
        moves = [g * (rho / (norm + 1e-12)) for g in gradients]
        before = [p.clone() for p in parameters]
        for p, move in zip(parameters, moves, strict=True):
            p.add_(move)
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [m.momentum for m in norms]
    for m in norms:
        m.momentum = 0.0
    model.zero_grad(set_to_none=True)
    try:
        yield
    finally:
        with torch.no_grad():
            for p, old in zip(parameters, before, strict=True):
                p.copy_(old)
        for m, momentum in zip(norms, momenta, strict=True):
            m.momentum = momentum
