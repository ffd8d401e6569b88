"""Losses by hand, and the shares of a target."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from fer_edge.contract.errors import SchemaError
from fer_host.recipe.train import LossConfig
from fer_host.train.losses import attention_loss, class_weights, combo_loss, soft_cross_entropy


def test_soft_cross_entropy_is_kl_plus_entropy() -> None:
    logits, targets = torch.randn(5, 4), torch.softmax(torch.randn(5, 4), 1)
    expected = nn.functional.kl_div(torch.log_softmax(logits, 1), targets, reduction="batchmean")
    expected = expected - (targets * targets.log()).sum(1).mean()
    torch.testing.assert_close(soft_cross_entropy(logits, targets, None), expected)
    torch.testing.assert_close(soft_cross_entropy(logits, targets, torch.ones(4)), expected)


def test_class_weights_are_largest_over_own() -> None:
    targets = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], dtype=np.float32)
    np.testing.assert_allclose(class_weights(targets), [1, 3])


def test_attention_loss_of_code_and_paper_differ_by_two() -> None:
    maps = [torch.zeros(1, 2, 3, 3), torch.full((1, 2, 3, 3), 0.5)]
    assert attention_loss(maps, "unordered").item() == pytest.approx(4.0, rel=1e-5)
    assert attention_loss(maps, "ordered").item() == pytest.approx(2.0, rel=1e-5)
    three = [*maps, torch.ones(1, 2, 3, 3)]  # MSE 1/4, 1/4, 1
    assert attention_loss(three, "unordered").item() == pytest.approx(3 / 1.5, rel=1e-5)


def test_combo_loss_by_hand() -> None:
    logits = torch.tensor([[math.log(0.8), math.log(0.2)]])
    targets = torch.tensor([[1.0, 0.0]])
    bce = -(0.6 * math.log(0.8) + 0.4 * math.log(0.8)) / 2
    dice = (2 * 0.8 + 1) / (1 + 1 + 1)
    assert combo_loss(logits, targets, 0.5, 0.6).item() == pytest.approx(0.5 * bce - 0.5 * dice, rel=1e-5)


def test_shares_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SchemaError, match="vote_share"):
        LossConfig(0.8, teacher_share=0.4, teacher="hawqc_mbv2")
    with pytest.raises(SchemaError, match="fer7"):
        LossConfig(0.8, fer7_share=0.4)
    with pytest.raises(SchemaError, match="teacher"):
        LossConfig(0.5, teacher_share=0.5)
    assert LossConfig(0.2, teacher_share=0.5, teacher="larn", fer7_share=0.1).label_share == pytest.approx(0.2)
