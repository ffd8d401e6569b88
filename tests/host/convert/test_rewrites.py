"""Rewrites for int8 compute the same numbers as the blocks they stand in for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fer_host.convert.rewrites import REWRITES, TAPS, rewrite
from fer_host.models import MODELS
from fer_host.models.blocks import ChannelMax, GlobalMax, Mish

BLOCKS = {
    "mish": Mish(),
    "prelu": nn.PReLU(7),
    "prelu of one": nn.PReLU(),
    "global": GlobalMax(),
    "channel": ChannelMax(),
    "depthwise 7": nn.Conv2d(7, 7, 7, 1, 3, groups=7, bias=False),
    "depthwise 9": nn.Conv2d(7, 7, 9, 2, 4, groups=7),
    "depthwise across": nn.Conv2d(7, 14, (5, 6), groups=7),
    "max-pool": nn.MaxPool2d(3, 2, 1),
    "max-pool of five": nn.MaxPool2d(5, 3, 2),
}


@pytest.mark.parametrize("name", BLOCKS)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 30.0))
@settings(max_examples=30, deadline=None)
def test_a_block_and_its_rewrite_agree(name: str, seed: int, scale: float) -> None:
    block = BLOCKS[name]
    generator = torch.Generator().manual_seed(seed)
    if isinstance(block, nn.PReLU):
        nn.init.uniform_(block.weight, -0.5, 1.5 if seed % 2 else 1.0, generator)  # above 1 takes another form
    sides = (5 + seed % 3, 6 + seed % 2)
    x = torch.randn(2, 7, *sides, generator=generator, dtype=torch.float64) * scale
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
    left = {type(module) for module in other.modules() if type(module) in REWRITES}
    assert left <= {nn.MaxPool2d, nn.Conv2d}
    assert not [
        m for m in other.modules() if isinstance(m, nn.Conv2d) and m.groups > 1 and m.weight[0, 0].numel() > TAPS
    ]
    assert not [module for module in other.modules() if isinstance(module, nn.MaxPool2d) and module.padding]
    x = torch.randn(2, 1, size_px, size_px, dtype=torch.float64)
    torch.testing.assert_close(other(x), network(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("kernel", "stride", "side"), [(7, 1, 3), (7, 1, 6), (7, 2, 24), (9, 2, 6), (9, 1, 2), (11, 3, 20)]
)
def test_bands_of_a_large_depthwise_convolution_fit_and_agree(
    kernel: int, stride: int, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    conv = nn.Conv2d(4, 4, kernel, stride, kernel // 2, groups=4).double()
    other = rewrite(nn.Sequential(conv))
    x = torch.randn(1, 4, side, side, dtype=torch.float64)
    expected = conv(x)
    taps: list[int] = []
    live: list[bool] = []
    plain = nn.functional.conv2d

    def look(part: torch.Tensor, weight: torch.Tensor, *options: object, **more: object) -> torch.Tensor:
        taps.append(weight[0, 0].numel())
        live.append(bool(plain(part, weight, None, *options[1:], **more).abs().max() > 0))  # type: ignore[arg-type]
        return plain(part, weight, *options, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("fer_host.convert.rewrites.functional.conv2d", look)
    torch.testing.assert_close(other(x), expected, rtol=1e-9, atol=1e-9)
    assert taps
    assert max(taps) <= TAPS
    assert all(live)  # a band that sees padding only would have no int8 scale


def test_small_and_full_convolutions_stay() -> None:
    small = nn.Sequential(nn.Conv2d(4, 4, 5, groups=4), nn.Conv2d(4, 4, 7), nn.Conv2d(1, 1, 7))
    assert [type(module) for module in rewrite(small)] == [nn.Conv2d] * 3
