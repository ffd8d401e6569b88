"""Gate scores equal what closing a gate does, to first order; choosing respects floors and ties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn
from torch.nn import functional

from fer_host.prune.channels import Channels, LayerUse
from fer_host.prune.choose import choose, widths
from fer_host.prune.importance import gate_scores, group_scores, measure_gates
from fer_host.recipe.prune import Floor


class Tiny(nn.Module):
    """Two convolutions with batch norm and ReLU6, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv2d(1, 5, 3, padding=1), nn.Conv2d(5, 4, 3, padding=1)
        self.norm_a, self.norm_b = nn.BatchNorm2d(5), nn.BatchNorm2d(4)
        for norm in (self.norm_a, self.norm_b):
            nn.init.normal_(norm.weight, 1.0, 0.5)
            nn.init.normal_(norm.bias, 0.3, 0.5)
        self.head = nn.Linear(4, 3)
        self.gate = torch.ones(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu6(self.norm_a(self.a(x)) * self.gate.view(1, -1, 1, 1), inplace=True)
        x = functional.relu6(self.norm_b(self.b(x)), inplace=True)
        out: torch.Tensor = self.head(x.mean((2, 3)))
        return out


@pytest.fixture
def sample() -> tuple[Tiny, torch.Tensor, torch.Tensor]:
    network = Tiny().double()
    network.gate = network.gate.double()
    x = torch.randn(6, 1, 8, 8, dtype=torch.float64)
    return network, x, torch.softmax(torch.randn(6, 3, dtype=torch.float64), 1)


def test_score_is_the_gates_own_gradient(sample: tuple[Tiny, torch.Tensor, torch.Tensor]) -> None:
    network, x, targets = sample
    network.eval()
    network.gate = torch.ones(5, dtype=torch.float64, requires_grad=True)
    per_sample = torch.zeros(5, dtype=torch.float64)
    summed = torch.zeros(5, dtype=torch.float64)
    for i in range(len(x)):
        loss = functional.cross_entropy(network(x[i : i + 1]), targets[i : i + 1])
        (gradient,) = torch.autograd.grad(loss, network.gate)
        per_sample += gradient.abs()
        summed += gradient
    network.gate = torch.ones(5, dtype=torch.float64)
    found = measure_gates(network, [(x, targets)], functional.cross_entropy, "per_sample")
    np.testing.assert_allclose(found["norm_a"], per_sample.numpy(), rtol=1e-9)
    found = measure_gates(network, [(x, targets)], functional.cross_entropy, "per_batch")
    np.testing.assert_allclose(found["norm_a"], summed.abs().numpy(), rtol=1e-9)


def test_gate_sees_beta_too(sample: tuple[Tiny, torch.Tensor, torch.Tensor]) -> None:
    """gamma dL/dgamma + beta dL/dbeta: with gamma at zero, beta alone still passes ReLU6 and is scored."""
    network, x, targets = sample
    with torch.no_grad():
        network.norm_a.weight[2] = 0.0
        network.norm_a.bias[2] = 2.0
    network.eval()
    functional.cross_entropy(network(x), targets).mul(len(x)).backward()
    norm = network.norm_a
    assert norm.weight.grad is not None
    assert norm.bias.grad is not None
    expected = (norm.weight * norm.weight.grad + norm.bias * norm.bias.grad).abs().detach().numpy()
    found = measure_gates(network, [(x, targets)], functional.cross_entropy, "per_batch")
    np.testing.assert_allclose(found["norm_a"], expected, rtol=1e-9)
    assert found["norm_a"][2] > 0


def test_score_predicts_a_slightly_closed_gate(sample: tuple[Tiny, torch.Tensor, torch.Tensor]) -> None:
    network, x, targets = sample
    network.eval()
    scores = measure_gates(network, [(x, targets)], functional.cross_entropy, "per_batch")["norm_a"]
    for channel in range(5):
        losses = []
        for value in (1.0, 1.0 - 1e-5):
            network.gate = torch.ones(5, dtype=torch.float64)
            network.gate[channel] = value
            losses.append(functional.cross_entropy(network(x), targets).item() * len(x))
        assert abs(losses[0] - losses[1]) / 1e-5 == pytest.approx(scores[channel], rel=1e-2, abs=1e-6)


@given(arrays.arrays(np.float64, (4, 3), elements=st.floats(-10, 10)))
def test_per_batch_is_at_most_per_sample(products: np.ndarray) -> None:  # type: ignore[type-arg]
    assert (gate_scores(products, "per_batch") <= gate_scores(products, "per_sample") + 1e-9).all()


def test_measured_network_is_left_alone(sample: tuple[Tiny, torch.Tensor, torch.Tensor]) -> None:
    network, x, targets = sample
    network.train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    measure_gates(network, [(x, targets)], functional.cross_entropy)
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def chain() -> Channels:
    """Two batch norms of four channels; the last channel of each is tied, channel 0 is pinned."""
    found = Channels(tie=list(range(8)))
    found.layers = {
        "a": LayerUse("a", np.arange(4), np.arange(4)),
        "b": LayerUse("b", np.arange(4, 8), np.arange(4, 8)),
    }
    found.tie[7] = 3
    found.pinned.add(0)
    return found


def test_groups_sum_their_gates_and_leave_out_pinned_ones() -> None:
    scores = {"a": np.array([9.0, 1, 2, 3]), "b": np.array([4.0, 5, 6, 7])}
    assert group_scores(chain(), scores) == {1: 1, 2: 2, 3: 10, 4: 4, 5: 5, 6: 6}


@pytest.mark.parametrize(
    ("n", "floor", "expected"),
    [
        (1, Floor(0.0, 1), [1]),
        (2, Floor(0.0, 1), [1, 2]),
        (3, Floor(0.0, 1), [1, 2, 4]),
        (3, Floor(0.5, 1), [1, 2, 4]),
        (9, Floor(0.5, 1), [1, 2, 4, 5]),  # both layers are at their floors
        (9, Floor(0.0, 3), [1, 4]),
    ],
)
def test_choice_by_table(n: int, floor: Floor, expected: list[int]) -> None:
    scores = {1: 1.0, 2: 2.0, 3: 10.0, 4: 4.0, 5: 5.0, 6: 6.0}
    channels = chain()
    assert choose(channels, scores, {"a", "b"}, n, widths(channels), floor) == expected


@given(st.integers(1, 12), st.floats(0, 1), st.integers(1, 4), st.integers(0, 1000))
@settings(max_examples=60)
def test_no_layer_falls_below_its_floor(n: int, share: float, least: int, seed: int) -> None:
    channels, floor = chain(), Floor(share, least)
    random = np.random.default_rng(seed)
    scores = {root: float(random.random()) for root in (1, 2, 3, 4, 5, 6)}
    gone = set(choose(channels, scores, {"a", "b"}, n, widths(channels), floor))
    for use in channels.layers.values():
        kept = sum(root not in gone for root in channels.roots(use.outputs).tolist())
        assert kept >= floor.of(4)
