"""Rewrites for int8 compute the same numbers as the blocks they stand in for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fer_host.convert.rewrites import REWRITES, rewrite
from fer_host.models import MODELS
from fer_host.models.blocks import ChannelMax, GlobalMax, Mish

BLOCKS = {
    "mish": Mish(),
    "prelu": nn.PReLU(7),
    "prelu of one": nn.PReLU(),
    "global": GlobalMax(),
    "channel": ChannelMax(),
}


@pytest.mark.parametrize("name", BLOCKS)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 30.0))
@settings(max_examples=30, deadline=None)
def test_a_block_and_its_rewrite_agree(name: str, seed: int, scale: float) -> None:
    block = BLOCKS[name]
    generator = torch.Generator().manual_seed(seed)
    if isinstance(block, nn.PReLU):
        nn.init.uniform_(block.weight, -0.5, 1.5 if seed % 2 else 1.0, generator)  # above 1 takes another form
    x = torch.randn(2, 7, 5, 6, generator=generator, dtype=torch.float64) * scale
    block = block.double()
    torch.testing.assert_close(REWRITES[type(block)](block)(x), block(x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["larn", "ddamfn", "shufflenet_ldam_stem1", "lfer_ldl"])
def test_a_network_and_its_rewrite_agree(name: str) -> None:
    size_px = 96 if name == "lfer_ldl" else 48
    torch.manual_seed(0)
    network = MODELS[name](7, 1, size_px).double().eval()
    for module in network.modules():  # attention that starts at zero would hide a wrong rewrite
        if isinstance(module, nn.Conv2d) and not module.weight.any():
            nn.init.normal_(module.weight, 0, 0.3)
    other = rewrite(network)
    left = [type(module).__name__ for module in other.modules() if type(module) in REWRITES]
    assert not left
    x = torch.randn(2, 1, size_px, size_px, dtype=torch.float64)
    torch.testing.assert_close(other(x), network(x), rtol=1e-9, atol=1e-9)
