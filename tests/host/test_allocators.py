"""Allocators against brute force, and the agents: budgets kept, something learned, the same by the same seed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_host.errors import DataError
from fer_host.quantize import allocate
from fer_host.quantize.agents import DDPG, AgentConfig, Episode, actor_critic, cuts_within, haq
from fer_host.quantize.grid import WIDTHS
from fer_host.quantize.policy import BitPolicy
from fer_host.quantize.sensitivity import SensitivityTable

pytestmark = pytest.mark.usefixtures("one_thread")


def random_table(seed: int, n: int = 6, layers: int = 2) -> SensitivityTable:
    random = np.random.default_rng(seed)
    error = -np.sort(-random.exponential(1, (n, len(WIDTHS))), axis=1)
    sizes = {f"l{i}": n // layers for i in range(layers)}
    return SensitivityTable(sizes, random.integers(1, 200, n), random.exponential(1, n), error)


def brute_force(table: SensitivityTable, budget: float, monotone: bool) -> float:
    order = allocate.trace_order(table)
    best = np.inf
    for widths in itertools.product(range(len(WIDTHS)), repeat=len(table.n_weights)):
        choice = np.array(widths)
        if (not monotone or (np.diff(choice[order]) >= 0).all()) and table.bytes_of(choice) <= budget:
            best = min(best, table.proxy(choice))
    return best


@pytest.mark.parametrize("seed", range(4))
def test_knapsack_and_thresholds_against_all_choices(seed: int) -> None:
    table = random_table(seed, n=5, layers=1)
    sizes = table.weight_bytes
    budget = float(
        sizes[:, 0].sum() + np.random.default_rng(seed).uniform(0.2, 0.8) * (sizes[:, -1] - sizes[:, 0]).sum()
    )
    for allocator, monotone in ((allocate.knapsack, False), (allocate.thresholds, True)):
        policy = allocator(table, budget)
        true = brute_force(table, budget, monotone)
        assert policy.bound is not None
        assert policy.bound <= true + 1e-9 <= policy.proxy_loss + 2e-9  # the bound is one, and nothing is beaten
        # the gap that it reports is all that a Lagrangian can leave: one channel's step
        assert policy.proxy_loss - true <= table.loss.max()


@given(st.integers(0, 2**31), st.floats(0.05, 0.95))
@settings(max_examples=30, deadline=None)
def test_allocators_keep_their_budget_and_knapsack_is_never_beaten(seed: int, share: float) -> None:
    table = random_table(seed, n=400, layers=8)
    sizes = table.weight_bytes.sum(axis=0)
    budget = float(sizes[0] + share * (sizes[-1] - sizes[0]))
    policies = [f(table, budget) for f in (allocate.knapsack, allocate.thresholds, allocate.hawq_v2, allocate.uniform)]
    for policy in policies:
        choice = np.searchsorted(WIDTHS, policy.all_bits)
        assert table.bytes_of(choice) <= budget
        assert policy.proxy_loss == pytest.approx(table.proxy(choice))
        assert policy.proxy_loss >= policies[0].proxy_loss * 0.9999
    ordered = policies[1].all_bits[allocate.trace_order(table)]
    assert (np.diff(ordered) >= 0).all()
    assert policies[0].bound is not None
    # the gaps at 400 channels
    assert policies[0].proxy_loss - policies[0].bound <= 0.001 * policies[0].proxy_loss
    assert policies[1].bound is not None
    assert policies[1].proxy_loss - policies[1].bound <= 0.1 * policies[1].proxy_loss
    assert all(len(set(bits)) == 1 for bits in policies[2].bits.values())  # a width a layer


@pytest.mark.parametrize("allocator", [allocate.knapsack, allocate.thresholds, allocate.hawq_v2, allocate.uniform])
def test_a_budget_below_two_bits_is_refused(allocator: allocate.Allocator) -> None:
    with pytest.raises(DataError, match="2 bits everywhere"):
        allocator(random_table(0), 1.0)


def test_one_width_is_what_it_says_whatever_it_weighs() -> None:
    table = random_table(0, n=10)
    policy = allocate.one_width(table, 3)
    assert set(policy.all_bits) == {3}
    assert policy.budget_bytes == table.weight_bytes[:, WIDTHS.index(3)].sum()


def test_all_the_room_there_is_gives_eight_bits() -> None:
    table = random_table(0, n=10)
    assert set(allocate.knapsack(table, 1e9).all_bits) == {8}


# agents


def test_cuts_are_moved_until_the_budget_is_just_kept() -> None:
    table = random_table(3, n=500, layers=5)
    order = allocate.trace_order(table)
    sizes = table.weight_bytes.sum(axis=0)
    budget = float(sizes[1])
    for cuts in ([0.0] * 6, [1.0] * 6, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]):
        choice = cuts_within(table, order, np.array(cuts), budget)
        assert table.bytes_of(choice) <= budget
        assert (np.diff(choice[order]) >= 0).all()
        assert table.bytes_of(choice) > 0.98 * budget or set(cuts) == {1.0}


def test_ddpg_learns_the_best_action() -> None:
    config = AgentConfig(batch=64, hidden=32, actor_lr=1e-3, critic_lr=1e-2, noise=0.3, tau=0.05, seed=2)
    agent, state = DDPG(1, config), np.ones(1, dtype=np.float32)
    before = agent.act(state, 0.0)
    for _ in range(1000):
        action = agent.act(state, config.noise)
        agent.remember([state], [action], -((action - 0.8) ** 2))
        agent.learn()
    assert abs(before - 0.8) > 0.2
    assert abs(agent.act(state, 0.0) - 0.8) < 0.1


@pytest.mark.parametrize("search", [actor_critic, haq])
def test_an_agent_learns_within_its_budget_and_by_its_seed(search: type) -> None:
    table = random_table(5, n=120, layers=6)
    budget = float(table.weight_bytes.sum(axis=0)[2])
    config = AgentConfig(explore=10, episodes=30, batch=16, hidden=32, seed=3)
    measured: list[BitPolicy] = []
    episodes: list[Episode] = []

    def loss_of(policy: BitPolicy) -> float:
        measured.append(policy)
        return float(np.log(policy.proxy_loss))

    first = search(table, budget, loss_of, config, episodes.append)  # type: ignore[call-arg]
    again = search(table, budget, lambda policy: float(np.log(policy.proxy_loss)), config)  # type: ignore[call-arg]
    assert first.bits == again.bits
    assert len(episodes) == 40
    assert episodes[-1].noise < episodes[0].noise
    assert first.proxy_loss == pytest.approx(min(policy.proxy_loss for policy in measured))
    for policy in measured:
        assert table.bytes_of(np.searchsorted(WIDTHS, policy.all_bits)) <= budget
    ceiling = (allocate.thresholds if search is actor_critic else allocate.knapsack)(table, budget)
    assert first.proxy_loss >= ceiling.proxy_loss * 0.999
