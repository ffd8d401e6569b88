"""What a group saves, against surgery; and that prices follow what the budget lacks."""

from __future__ import annotations

import random

import pytest
from torch import nn

from fer_host.models import MODELS
from fer_host.prune.channels import follow_channels
from fer_host.prune.costs import Cost, cost_of
from fer_host.prune.prices import Saving, group_ms, group_savings, per_cost
from fer_host.prune.surgery import slice_network
from fer_host.recipe.prune import Budget


@pytest.mark.parametrize(
    ("name", "channels", "size"),
    [
        ("mobilenet_v2", 3, 64),
        ("fer48", 1, 48),
        ("shufflenet_ldam", 1, 48),
        ("larn", 3, 48),
        ("ddamfn", 3, 48),
        ("lfer_ldl", 3, 96),
    ],
)
def test_a_group_saves_what_surgery_saves(name: str, channels: int, size: int) -> None:
    network = MODELS[name](8, channels, size).eval()
    found = follow_channels(network, channels, size)
    savings = group_savings(network, found, channels, size)
    before = cost_of(network, channels, size)
    free = [root for root in savings if not found.is_pinned(root)]
    for root in random.Random(1).sample(free, 3):
        after = cost_of(slice_network(network, found, [root]), channels, size)
        assert before.macs - after.macs == savings[root].macs
        assert 0 <= before.parameters - after.parameters - savings[root].parameters <= 64  # norms, slopes, biases


def test_milliseconds_are_shared_by_the_channels_of_a_tile() -> None:
    network = nn.Sequential(nn.Conv2d(3, 16, 1), nn.BatchNorm2d(16), nn.Conv2d(16, 24, 1), nn.BatchNorm2d(24))
    network = nn.Sequential(*network, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 2)).eval()
    channels = follow_channels(network, 3, 8)

    def ms(net: nn.Module) -> float:
        first, second = (layer.out_channels for layer in net.modules() if isinstance(layer, nn.Conv2d))
        return -(-first // 8) * 1.0 + -(-second // 16) * 5.0  # tiles of 8 and 16

    first, second = (channels.roots(channels.layers[name].outputs).tolist() for name in ("0", "2"))
    found = group_ms(network, channels, first + second, ms)
    assert {found[root] for root in first} == {1 / 8}  # 16 -> 8: one tile of 1 ms less, for eight channels
    assert {found[root] for root in second} == {5 / 12}  # 24 -> 12: one tile of 5 ms less, for twelve
    start, budget = Cost(1000, 1000, 10.0, 12.0), Budget(macs=1.0, ms=6.0)
    savings = {1: Saving(100, 100, 0.0), 2: Saving(1, 1, 0.5)}
    priced = per_cost({1: 1.0, 2: 1.0}, savings, Cost(1000, 1000, 10.0, 12.0), start, budget)
    assert priced[2] < priced[1]  # only time is over the budget


def test_only_what_is_over_the_budget_has_a_price() -> None:
    start, budget = Cost(1000, 1000, 10.0), Budget(parameters=0.8, macs=0.5)
    savings = {1: Saving(100, 1), 2: Saving(1, 100)}
    by_macs = per_cost({1: 1.0, 2: 1.0}, savings, Cost(700, 900, 7.0), start, budget)
    assert by_macs[2] < by_macs[1]  # parameters are within: the group that saves MACs goes first
    by_parameters = per_cost({1: 1.0, 2: 1.0}, savings, Cost(900, 400, 9.0), start, budget)
    assert by_parameters[1] < by_parameters[2]
    equal = per_cost({1: 1.0, 2: 3.0}, {1: Saving(10, 10), 2: Saving(10, 10)}, Cost(900, 900, 9.0), start, budget)
    assert equal[2] == pytest.approx(3 * equal[1])
