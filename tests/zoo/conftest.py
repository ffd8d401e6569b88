"""Networks with drawn weights: what needs no training is tried on all of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from fer_host.models.weights import build_network
from fer_host.recipe.recipe import load_recipe


@pytest.fixture
def drawn() -> Callable[[str], nn.Module]:
    """Makes a recipe's network with weights as they are drawn, fit for conversion."""
    return _drawn_network


def _drawn_network(name: str) -> nn.Module:
    """Weights as they are drawn, batch norms with statistics as after some training, no branch that starts at zero."""
    torch.manual_seed(3)
    network = build_network(load_recipe(name))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.2, 0.2)
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 1.5)
            elif isinstance(module, nn.Conv2d) and not module.weight.any():
                nn.init.normal_(module.weight, 0, 0.1)
    return network.eval()
