"""Masked and sliced networks agree, whatever is removed; groups are what the facts sheets derive by hand."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from fer_host.models import MODELS
from fer_host.prune.channels import Channels, follow_channels
from fer_host.prune.surgery import masked, slice_network

NETWORKS = {
    "mobilenet_v2": (3, 32),
    "larn": (1, 48),
    "ddamfn": (1, 48),
    "lfer_ldl": (1, 96),
    "shufflenet_v2": (1, 48),
    "shufflenet_ldam_stem1": (1, 48),
}


@functools.cache
def sample(name: str) -> tuple[nn.Module, Channels, torch.Tensor]:
    """A float64 network whose batch norms and attention do something, its channels, and inputs."""
    in_channels, size_px = NETWORKS[name]
    torch.manual_seed(0)
    network = MODELS[name](7, in_channels, size_px).double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            module.running_mean.normal_(0, 0.2)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
        if isinstance(module, nn.Conv2d) and not module.weight.any():
            nn.init.normal_(module.weight, 0, 0.3)
    x = torch.randn(2, in_channels, size_px, size_px, dtype=torch.float64)
    return network, follow_channels(network, in_channels, size_px), x


def free_roots(channels: Channels) -> list[int]:
    roots = {int(root) for use in channels.layers.values() for root in channels.roots(use.outputs)}
    return sorted(root for root in roots if not channels.is_pinned(root))


@pytest.mark.parametrize("name", NETWORKS)
@given(seed=st.integers(0, 10_000), share=st.floats(0.01, 0.6))
@settings(max_examples=4, deadline=None)
def test_masked_and_sliced_agree(name: str, seed: int, share: float) -> None:
    network, channels, x = sample(name)
    random = np.random.default_rng(seed)
    removed = [root for root in free_roots(channels) if random.random() < share]
    assume(all(set(channels.roots(use.outputs).tolist()) - set(removed) for use in channels.layers.values()))
    with torch.no_grad():
        whole = network(x)
        with masked(network, channels, removed):
            expected = network(x)
        found = slice_network(network, channels, removed)(x)
    assert (found - expected).abs().max() <= 1e-9 * expected.abs().max()
    if len(removed) > 20:
        assert not torch.allclose(expected, whole), "the mask does nothing"


@pytest.mark.parametrize("name", NETWORKS)
def test_slicing_again_follows_the_sliced_network(name: str) -> None:
    network, channels, x = sample(name)
    in_channels, size_px = NETWORKS[name]
    for seed in (1, 2):
        random = np.random.default_rng(seed)
        removed = [root for root in free_roots(channels) if random.random() < 0.2]
        with torch.no_grad(), masked(network, channels, removed):
            expected = network(x)
        smaller = slice_network(network, channels, removed)
        with torch.no_grad():
            assert (smaller(x) - expected).abs().max() <= 1e-9 * expected.abs().max()
        assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in network.parameters())
        network, channels = smaller, follow_channels(smaller, in_channels, size_px)


def test_mobilenet_has_the_groups_that_were_counted_by_hand() -> None:
    """Facts sheet 004 (b): 25 independent groups of layers, 9,128 independent channels, 17,056 BN channels."""
    network, channels, _ = sample("mobilenet_v2")
    assert len(free_roots(channels)) == 9_128
    bn = [m.num_features for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert sum(bn) == 17_056
    # the stem is tied to the first depthwise convolution, a residual chain to itself
    stem, first = channels.layers["features.0.0"], channels.layers["features.1.conv.0.0"]
    assert (channels.roots(stem.outputs) == channels.roots(first.outputs)).all()
    before, after = channels.layers["features.2.conv.2"], channels.layers["features.3.conv.2"]
    assert (channels.roots(before.outputs) == channels.roots(after.outputs)).all()


def test_what_mixes_channels_is_pinned() -> None:
    """LDAM takes means and maxima over channels: the stream must stay, the branches' inner channels may go."""
    _, channels, _ = sample("shufflenet_ldam_stem1")
    stream = channels.layers["stem.0"]
    assert all(channels.is_pinned(int(channel)) for channel in stream.outputs)
    inner = channels.layers["stages.0.1.branch.0.0"]
    assert not any(channels.is_pinned(int(channel)) for channel in inner.outputs)


def test_inputs_and_classes_stay() -> None:
    network, channels, _ = sample("lfer_ldl")
    assert all(channels.is_pinned(int(channel)) for channel in channels.layers["classifier.classes"].outputs)
    with pytest.raises(ValueError, match="must stay"):
        slice_network(network, channels, [int(channels.layers["stem.0"].inputs[0])])


def test_a_layer_keeps_a_channel() -> None:
    network, channels, _ = sample("larn")
    with pytest.raises(ValueError, match="would lose all of its 64 channels"):
        slice_network(network, channels, channels.layers["features.0.0"].outputs.tolist())
