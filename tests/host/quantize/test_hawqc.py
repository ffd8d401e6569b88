"""HAWQC's parts: traces against the full Hessian, grids and files to the bit; for allocators see test_allocators.py."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from fer_host.errors import DataError, WeightsError
from fer_host.models import MODELS
from fer_host.quantize import allocate
from fer_host.quantize.activations import activation_table, input_ranges, quantize_channels, simulated
from fer_host.quantize.finetune import grids, on_grids
from fer_host.quantize.fold import fold_batch_norms, quantized_layers
from fer_host.quantize.grid import WIDTHS, best_scales, integers, limits, on_grid
from fer_host.quantize.grids import load_tuned, save_tuned, tuning_of
from fer_host.quantize.hawqc import Workshop
from fer_host.quantize.policy import (
    BitPolicy,
    budget_bytes,
    channel_bytes,
    check_fits,
    compression,
    digits,
    load_policy,
    save_policy,
    weights_per_channel,
)
from fer_host.quantize.sensitivity import sensitivity_table
from fer_host.quantize.traces import exact, exact_activations, hutchinson
from fer_host.recipe.recipe import load_recipe

pytestmark = pytest.mark.usefixtures("one_thread")


def small_network(seed: int = 0) -> nn.Sequential:
    """Two convolutions, a batch norm, a linear layer; 8 px in, three classes out."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU6(),
        nn.Conv2d(4, 4, 3, stride=2, groups=4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(36, 3),
    )
    network[1].running_mean.uniform_(-1, 1)
    network[1].running_var.uniform_(0.5, 2)
    return network.eval()


# traces


def hessian_traces(network: nn.Module, name: str, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    weight = network.get_submodule(name).weight.detach()

    def loss(w: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(functional_call(network, {f"{name}.weight": w}, (x,)), y)

    n = weight.numel()
    diagonal = torch.autograd.functional.hessian(loss, weight).reshape(n, n).diagonal()
    return diagonal.reshape(len(weight), -1).sum(1).numpy()


def test_exact_traces_equal_the_full_hessians() -> None:
    network = fold_batch_norms(small_network(), 3, 8).double()
    x, y = torch.randn(5, 3, 8, 8).double(), torch.tensor([0, 1, 2, 0, 1])
    found = exact(network, x)
    assert list(found.traces) == ["0", "3", "6"]
    for name, traces in found.traces.items():
        np.testing.assert_allclose(traces, hessian_traces(network, name, x, y), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("kind", "off"), [("rademacher", 0.15), ("gaussian", 0.3)])
def test_hutchinson_comes_near_the_full_hessian_in_every_channel(kind: str, off: float) -> None:
    network = fold_batch_norms(small_network(), 3, 8).double()
    x, y = torch.randn(5, 3, 8, 8).double(), torch.tensor([0, 1, 2, 0, 1])
    found = hutchinson(network, x, y, draws=2000, kind=kind, tolerance=0, together=False).traces  # type: ignore[arg-type]
    for name, values in found.items():
        true = hessian_traces(network, name, x, y)
        assert np.abs(values - true).max() < off * true.max(), (name, values, true)


def test_one_product_for_all_layers_has_the_same_mean_and_more_noise() -> None:
    network = fold_batch_norms(small_network(), 3, 8).double()
    x, y = torch.randn(5, 3, 8, 8).double(), torch.tensor([0, 1, 2, 0, 1])
    true = sum(float(hessian_traces(network, name, x, y).sum()) for name in quantized_layers(network))

    def totals(together: bool) -> np.ndarray:
        runs = [hutchinson(network, x, y, draws=100, tolerance=0, together=together, seed=seed) for seed in range(10)]
        return np.array([sum(float(values.sum()) for values in run.traces.values()) for run in runs])

    joint, apart = totals(True), totals(False)
    assert abs(joint.mean() - true) < 4 * joint.std(ddof=1) / np.sqrt(10)
    assert apart.std() < joint.std()


def test_hutchinson_stops_when_the_mean_has_settled() -> None:
    network = fold_batch_norms(small_network(), 3, 8)
    x, y = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    assert 20 <= hutchinson(network, x, y, draws=500, tolerance=0.2).n < 500
    assert hutchinson(network, x, y, draws=30, tolerance=0).n == 30


def test_activation_traces_equal_the_full_hessians() -> None:
    network = fold_batch_norms(small_network(), 3, 8).double()
    x = torch.randn(1, 3, 8, 8).double()
    found = exact_activations(network, x).traces
    inner = network[:3](x).detach()

    def loss(a: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(network[3:](a), torch.tensor([1]))

    n = inner.numel()
    diagonal = torch.autograd.functional.hessian(loss, inner).reshape(n, n).diagonal()
    np.testing.assert_allclose(found["3"], diagonal.reshape(4, -1).sum(1).numpy(), rtol=1e-9, atol=1e-12)
    assert {name: len(values) for name, values in found.items()} == {"0": 3, "3": 4, "6": 36}


# folding


@pytest.mark.parametrize(
    ("name", "channels", "size"),
    [("mobilenet_v2", 3, 32), ("shufflenet_ldam", 1, 48), ("larn", 3, 48), ("ddamfn", 3, 48), ("lfer_ldl", 3, 96)],
)
def test_folding_keeps_every_network_of_the_zoo(name: str, channels: int, size: int) -> None:
    torch.manual_seed(1)
    network = MODELS[name](7, channels, size).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    folded = fold_batch_norms(network, channels, size)  # checks itself in float64
    x = torch.randn(2, channels, size, size)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), network(x), rtol=1e-3, atol=1e-4)
    assert any(isinstance(module, nn.Identity) for module in folded.modules())


def test_folding_refuses_a_layer_that_feeds_something_else_as_well() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            nn.init.constant_(self.norm.weight, 2.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            return (self.norm(y) + y).mean((2, 3))

    with pytest.raises(WeightsError, match="feeds something else"):
        fold_batch_norms(Shared().eval(), 3, 8)


# grids


@given(st.integers(0, 2**31), st.sampled_from(WIDTHS))
@settings(max_examples=40, deadline=None)
def test_weights_on_a_grid_stay_where_they_are(seed: int, width: int) -> None:
    weight = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(seed))
    bits = torch.full((5,), width)
    scale, error = best_scales(weight, bits)
    on = on_grid(weight, scale, bits)
    low, high = limits(bits)
    whole = integers(weight, scale, bits)
    assert (whole >= low[0]).all()
    assert (whole <= high[0]).all()
    torch.testing.assert_close(on_grid(on, scale, bits), on, rtol=0, atol=0)
    torch.testing.assert_close((on - weight).square().flatten(1).sum(1), error)


def test_eight_bits_stop_at_minus_127_and_two_bits_have_four_levels() -> None:
    low, high = limits(torch.tensor([2, 3, 8]))
    assert low.tolist() == [-2, -4, -127]
    assert high.tolist() == [1, 3, 127]


def test_a_channel_of_zeros_has_a_usable_step() -> None:
    scale, error = best_scales(torch.zeros(2, 3), torch.tensor([2, 8]))
    assert (scale > 0).all()
    assert error.tolist() == [0, 0]


# sizes


def test_sizes_follow_the_rule() -> None:
    network = fold_batch_norms(small_network(), 3, 8)
    counts = weights_per_channel(network)
    policy = BitPolicy(digits({n: np.full(len(c), 4) for n, c in counts.items()}), "uniform")
    n_weights, n_channels = 4 * 27 + 4 * 9 + 3 * 36, 11
    effective = n_weights * 4 / 8 + n_channels * (4 + 4 + 3 / 8)
    assert compression(policy, counts) == pytest.approx(4 * (n_weights + n_channels) / effective)
    with pytest.raises(DataError, match="2 bits everywhere reach"):
        budget_bytes(counts, 50)


def float_mib(network: nn.Module) -> float:
    """As the thesis counts: parameters and running statistics of unfolded batch norms, four bytes each."""
    return 4 * sum(value.numel() for value in network.state_dict().values() if value.is_floating_point()) / 2**20


@pytest.mark.parametrize(
    ("name", "factor", "mib"),
    [
        ("resnet50", 8, 12.23),  # its uniform row
        ("resnet50", 12.24, 7.99),  # HAWQ-V2
        ("resnet50", 14.48, 6.75),  # AutoQ and HAWQC
        ("mobilenet_v2", 8, 1.69),
        ("mobilenet_v2", 9.93, 1.36),
    ],
)
def test_the_thesis_sizes_are_plain_quotients(name: str, factor: float, mib: float) -> None:
    assert float_mib(MODELS[name](1000, 3, 32)) / factor == pytest.approx(mib, rel=0.002)


def test_what_the_thesis_size_leaves_for_a_weight_by_this_kits_rule() -> None:
    network = MODELS["mobilenet_v2"](1000, 3, 32)
    every = np.concatenate(list(weights_per_channel(fold_batch_norms(network, 3, 32)).values()))
    assert (int(every.sum()), len(every)) == (3_469_760, 18_056)
    assert 8 * 1.36 * 2**20 / every.sum() == pytest.approx(3.29, abs=0.005)  # bits, where nothing else counts
    assert 8 * (1.36 * 2**20 - len(every) * channel_bytes()) / every.sum() == pytest.approx(2.94, abs=0.005)


@pytest.mark.parametrize(("bits", "factor"), [(3, 9.1623), (4, 7.1351)])
def test_uniform_widths_by_the_rule(bits: int, factor: float) -> None:
    counts = weights_per_channel(fold_batch_norms(MODELS["mobilenet_v2"](8, 3, 32), 3, 32))
    policy = BitPolicy(digits({n: np.full(len(c), bits) for n, c in counts.items()}), "uniform")
    assert compression(policy, counts) == pytest.approx(factor, abs=1e-4)


def test_a_policy_survives_its_file(tmp_path: Path) -> None:
    policy = BitPolicy({"a": "2348", "b": "5"}, "knapsack", 10.5, 0.25, 0.2, 0.1, "00", {"x": 1.0})
    save_policy(policy, tmp_path / "p.json")
    assert load_policy(tmp_path / "p.json") == policy
    with pytest.raises(DataError, match="fer-host search"):
        load_policy(tmp_path / "absent.json")


# tuning and its file


def policy_for(network: nn.Module, seed: int = 0) -> BitPolicy:
    random = np.random.default_rng(seed)
    bits = {name: random.integers(2, 9, len(layer.weight)) for name, layer in quantized_layers(network).items()}
    return BitPolicy(digits(bits), "random")


def test_tuned_weights_come_back_from_their_file_to_the_bit(tmp_path: Path) -> None:
    folded = fold_batch_norms(small_network(), 3, 8)
    network = on_grids(folded, policy_for(folded))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    record = tuning_of("small", "00", policy_for(folded), folded, 1.0, (0.9, 0.5, 0.8))
    save_tuned(network, grids(network), record, tmp_path / "t.safetensors")
    loaded = load_tuned(fold_batch_norms(small_network(seed=9), 3, 8), tmp_path / "t.safetensors")
    assert loaded.tuning == record
    for name, layer in quantized_layers(network).items():
        np.testing.assert_array_equal(loaded.layers[name].weight, layer.weight.detach().numpy())
        half = 2.0 ** (loaded.layers[name].bits.astype(int) - 1)
        flat = loaded.layers[name].integers.reshape(len(half), -1).astype(int)
        assert (flat.min(axis=1) >= -half).all()
        assert (flat.max(axis=1) < half).all()
    x = torch.randn(3, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(loaded.network(x), network(x), rtol=0, atol=0)
    with pytest.raises(WeightsError, match="tuned weights"):
        load_tuned(MODELS["mobilenet_v2"](8, 3, 32), tmp_path / "t.safetensors")


def test_rounding_passes_gradients_and_steps_learn() -> None:
    folded = fold_batch_norms(small_network(), 3, 8)
    network = on_grids(folded, policy_for(folded)).train()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    x, y = torch.randn(16, 3, 8, 8), torch.randint(0, 3, (16,))
    before = {name: grid["scale"].clone() for name, grid in grids(network).items()}
    losses = []
    for _ in range(60):
        loss = functional.cross_entropy(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert all(not torch.equal(grid["scale"], before[name]) for name, grid in grids(network).items())


def test_a_table_knows_that_bits_help() -> None:
    folded = fold_batch_norms(small_network(), 3, 8)
    table = sensitivity_table(folded, exact(folded, torch.randn(4, 3, 8, 8)).traces)
    assert (np.diff(table.error, axis=1) <= 0).all()
    assert (table.mean_trace > 0).all()
    assert table.layers == {"0": 4, "3": 4, "6": 3}
    assert table.n_weights.tolist() == [27] * 4 + [9] * 4 + [36] * 3


# activations


def test_activation_bits_are_simulated_channel_by_channel() -> None:
    folded = fold_batch_norms(small_network(), 3, 8)
    inputs = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    ranges = input_ranges(folded, inputs)
    assert {name: len(low) for name, (low, _) in ranges.items()} == {"0": 3, "3": 4, "6": 36}
    table = activation_table(folded, inputs, ranges, n_traces=4)
    assert table.n_weights[0] == 64  # one sample's map of a channel
    with torch.no_grad():
        before = folded(inputs)
        errors = {}
        for share in (2, 4, 8):
            policy = allocate.knapsack(table, float((table.n_weights * share / 8).sum()))
            with simulated(folded, policy, ranges):
                errors[share] = float((folded(inputs) - before).abs().mean())
        torch.testing.assert_close(folded(inputs), before, rtol=0, atol=0)  # nothing is left behind
    assert errors[8] < errors[4] < errors[2]
    assert errors[8] < 0.02 * float(before.abs().mean())


def test_a_channel_keeps_its_zero_and_its_ends() -> None:
    value = torch.tensor([[[-1.0, 0.0, 3.0]], [[0.5, 2.0, -0.2]]])
    on = quantize_channels(value, torch.tensor([-1.0]), torch.tensor([3.0]), torch.tensor([2]))
    assert on[0, 0].tolist() == pytest.approx([-4 / 3, 0.0, 8 / 3])


def test_too_few_images_for_the_traces_are_refused(tmp_path: Path) -> None:
    recipe, random = load_recipe("hawqc_mbv2"), np.random.default_rng(1)
    for split in ("train", "test"):
        for label in ("anger", "happiness"):
            (tmp_path / "set" / split / label).mkdir(parents=True)
            for i in range(6):
                picture = random.integers(0, 255, (48, 48), dtype=np.uint8)
                cv2.imwrite(str(tmp_path / "set" / split / label / f"{i}.png"), picture)
    workshop = Workshop(recipe, tmp_path / "set", tmp_path / "state")
    with pytest.raises(DataError, match="expected more than 256"):
        _ = workshop.table


# bad files


@pytest.mark.parametrize(
    "bits",
    [{"0": "222", "3": "2222", "6": "222"}, {"0": "2222", "3": "2222"}, {"0": "2292", "3": "2222", "6": "222"}],
)
def test_a_policy_of_another_network_is_refused(bits: dict[str, str]) -> None:
    counts = weights_per_channel(fold_batch_norms(small_network(), 3, 8))
    with pytest.raises(DataError, match="bit policy"):
        check_fits(BitPolicy(bits, "by hand"), counts)
    check_fits(BitPolicy({"0": "2345", "3": "6782", "6": "222"}, "by hand"), counts)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("scale", torch.tensor([1.0, float("nan"), 1.0, 1.0])),
        ("scale", torch.tensor([1.0])),
        ("scale", torch.ones(4, dtype=torch.bfloat16)),
        ("bits", torch.full((4,), 12, dtype=torch.uint8)),
        ("bits", torch.full((4,), 2, dtype=torch.uint8)),  # the integers do not fit two bits
    ],
)
def test_tuned_weights_that_are_no_grid_are_refused(tmp_path: Path, part: str, value: torch.Tensor) -> None:
    folded = fold_batch_norms(small_network(), 3, 8)
    policy = BitPolicy({name: "8" * len(layer.weight) for name, layer in quantized_layers(folded).items()}, "eight")
    network = on_grids(folded, policy)
    made = grids(network)
    made["0"][part] = value
    save_tuned(network, made, tuning_of("small", "00", policy, folded, 0, (0, 0, 0)), tmp_path / "t.safetensors")
    with pytest.raises(WeightsError, match="tuned weights"):
        load_tuned(folded, tmp_path / "t.safetensors")
