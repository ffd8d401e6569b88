"""What a group saves, against surgery; and that prices follow what the budget lacks."""

from __future__ import annotations

import random

import pytest

from fer_host.models import MODELS
from fer_host.prune.channels import follow_channels
from fer_host.prune.config import Budget
from fer_host.prune.costs import Cost, cost_of
from fer_host.prune.prices import Saving, group_savings, per_cost
from fer_host.prune.surgery import slice_network


@pytest.mark.parametrize(
    ("name", "channels", "size"),
    [("mobilenet_v2", 3, 64), ("shufflenet_ldam", 1, 48), ("larn", 3, 48), ("ddamfn", 3, 48), ("lfer_ldl", 3, 96)],
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


def test_only_what_is_over_the_budget_has_a_price() -> None:
    start, budget = Cost(1000, 1000, 10.0), Budget(parameters=0.8, macs=0.5)
    savings = {1: Saving(100, 1), 2: Saving(1, 100)}
    by_macs = per_cost({1: 1.0, 2: 1.0}, savings, Cost(700, 900, 7.0), start, budget)
    assert by_macs[2] < by_macs[1]  # parameters are within: the group that saves MACs goes first
    by_parameters = per_cost({1: 1.0, 2: 1.0}, savings, Cost(900, 400, 9.0), start, budget)
    assert by_parameters[1] < by_parameters[2]
    equal = per_cost({1: 1.0, 2: 3.0}, {1: Saving(10, 10), 2: Saving(10, 10)}, Cost(900, 900, 9.0), start, budget)
    assert equal[2] == pytest.approx(3 * equal[1])
