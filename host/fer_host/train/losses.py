"""The papers' losses, each a function of logits and target distributions.

With a team, logits and targets are one process's share of a batch: sums that stand below a fraction are the team's, so
that the mean of the losses over the team has the gradient of the joint batch.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fer_host.recipe.train import LossConfig
from fer_host.train.parallel import ALONE, Team


def class_weights(targets: NDArray[np.float32]) -> NDArray[np.float32]:
    """max_c N_c / N_y over the target mass of each class (thesis, equation of the weighted cross-entropy)."""
    mass = np.maximum(targets.sum(axis=0), 1.0)
    return np.asarray(mass.max() / mass, dtype=np.float32)


def soft_cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None, team: Team = ALONE
) -> torch.Tensor:
    """Cross-entropy against distributions (N, C); with weights, each class's term is weighted and renormalized.

    It differs from the KL divergence of label distribution learning only by the targets' own entropy, a constant.
    """
    if weights is None:
        return functional.cross_entropy(logits, targets)
    per_class = targets * weights
    total: torch.Tensor = -(per_class * functional.log_softmax(logits, dim=1)).sum()
    return team.sum(total) / team.sum(per_class.sum())


def combo_loss(
    logits: torch.Tensor, targets: torch.Tensor, alpha: float, beta: float, team: Team = ALONE
) -> torch.Tensor:
    """LFER-LDL's combo loss: alpha x weighted BCE - (1 - alpha) x dice (Taghanaki et al. 2019), eps 1.

    Args:
        logits: (N, C).
        targets: (N, C) distributions.
        alpha: BCE against dice.
        beta: of the BCE's terms for present against absent classes.
        team: the processes that share the batch.
    """
    log_p = functional.log_softmax(logits, dim=1)
    p = log_p.exp()
    absent = torch.log1p(-p.clamp(max=1 - 1e-6))
    bce = -(beta * targets * log_p + (1 - beta) * (1 - targets) * absent).mean()
    dice = (2 * team.sum((p * targets).sum()) + 1) / (team.sum(p.sum() + targets.sum()) + 1)
    return alpha * bce - (1 - alpha) * dice


def attention_loss(maps: list[torch.Tensor], pairs: str, team: Team = ALONE) -> torch.Tensor:
    """DDAMFN's: the inverse of how far the heads' attention maps lie apart; equal heads make it infinite.

    Args:
        maps: of each head, all of one shape; at least two.
        pairs: "unordered" (official code: number of pairs / sum of MSE) or "ordered" (formula: 1 / sum over both
            orders; half as large with two heads).
        team: the processes that share the batch.
    """
    distances = [functional.mse_loss(a, b) for a, b in combinations(maps, 2)]
    total = team.mean(torch.stack(distances).sum())
    eps = torch.finfo(total.dtype).eps
    return len(distances) / (total + eps) if pairs == "unordered" else 1 / (2 * total + eps)


def total_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    maps: list[torch.Tensor],
    weights: torch.Tensor | None,
    config: LossConfig,
    team: Team = ALONE,
    parts: tuple[slice, ...] = (slice(None),),
) -> torch.Tensor:
    """The sum that a recipe asks for.

    ``maps`` are the attention heads', empty for networks without; ``parts`` are the columns of each label set.
    """
    losses = [
        soft_cross_entropy(logits[:, part], targets[:, part], None if weights is None else weights[part], team)
        for part in parts
    ]
    loss = torch.stack(losses).sum() if len(losses) > 1 else losses[0]
    if config.combo:
        loss = loss + config.combo * combo_loss(logits, targets, config.combo_alpha, config.combo_beta, team)
    if config.attention:
        loss = loss + config.attention * attention_loss(maps, config.attention_pairs, team)
    return loss
