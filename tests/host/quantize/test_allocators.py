"""Allocators against brute force, and the agents: budgets kept, the gap to the optimum closed, the same by a seed."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

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


def by_agent(search: Callable[..., BitPolicy]) -> allocate.Allocator:
    config = AgentConfig(explore=1, episodes=1, hidden=8)
    return lambda table, budget: search(table, budget, lambda _: 0.0, config)


@pytest.mark.parametrize(
    "allocator",
    [
        allocate.knapsack,
        allocate.thresholds,
        allocate.hawq_v2,
        allocate.uniform,
        by_agent(actor_critic),
        by_agent(haq),
    ],
    ids=["knapsack", "thresholds", "hawq_v2", "uniform", "actor_critic", "haq"],
)
def test_a_budget_below_two_bits_is_refused(allocator: allocate.Allocator) -> None:
    table = random_table(0)
    least = float(table.weight_bytes[:, 0].sum())
    with pytest.raises(DataError, match="2 bits everywhere take"):
        allocator(table, least - 0.1)
    assert set(allocator(table, least).all_bits) == {2}


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


def test_the_critic_counts_what_comes_after_a_step_and_nothing_after_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its target is reward - average + the slow critic at the following state, unless the episode is over."""
    config = AgentConfig(batch=64, replay=64, hidden=32, critic_lr=1e-2, tau=0.0, seed=1)
    agent = DDPG(1, config)
    monkeypatch.setattr(agent.slow_critic, "forward", lambda x: 10 * x[:, :1])  # of (state, action): the state alone
    first, second = np.array([0.2], dtype=np.float32), np.array([0.7], dtype=np.float32)
    for _ in range(32):
        agent.remember([first, second], [0.5, 0.5], 3.0)  # one reward for all: less its average it is 0
    for _ in range(600):
        agent.learn()
    with torch.no_grad():
        found = [float(agent.critic(torch.tensor([[float(state[0]), 0.5]]))) for state in (first, second)]
    assert found == pytest.approx([7.0, 0.0], abs=0.2)


def test_ddpg_learns_two_steps_of_which_the_second_answers_the_first() -> None:
    config = AgentConfig(batch=64, hidden=32, actor_lr=1e-3, critic_lr=1e-2, noise=0.3, tau=0.05, seed=2)
    agent = DDPG(2, config)

    def play(noise: float) -> tuple[list[np.ndarray], list[float]]:
        first = np.array([0.0, 0.0], dtype=np.float32)
        action = agent.act(first, noise)
        second = np.array([1.0, action], dtype=np.float32)
        return [first, second], [action, agent.act(second, noise)]

    def reward(actions: list[float]) -> float:
        return -((actions[0] - 0.8) ** 2) - (actions[1] - (1 - actions[0])) ** 2

    before = reward(play(0.0)[1])
    for _ in range(800):
        states, actions = play(config.noise)
        agent.remember(states, actions, reward(actions))
        agent.learn()
    _, actions = play(0.0)
    assert before < -0.08
    assert reward(actions) > -0.02, actions
    assert actions[0] == pytest.approx(0.8, abs=0.12)


def test_the_thesis_constants() -> None:
    config = AgentConfig()
    assert (config.explore, config.episodes, config.noise) == (50, 600, 0.5)
    assert (config.replay, config.batch) == (600, 128)
    agent = DDPG(5, config)
    assert agent.replay.maxlen == 600
    assert agent.actor_step.param_groups[0]["lr"] == 1e-4
    assert agent.critic_step.param_groups[0]["lr"] == 1e-3
    assert isinstance(agent.actor[-1], nn.Sigmoid)


def test_the_five_numbers_of_a_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Width, weights that have none yet, the cuts of the width before, the action before."""
    n_weights = np.array([40, 10, 20, 30])
    error = np.tile(4.0 ** -np.arange(len(WIDTHS)), (4, 1))
    table = SensitivityTable({"a": 2, "b": 2}, n_weights, np.array([4.0, 1.0, 2.0, 3.0]), error)  # order: 1, 2, 3, 0
    seen: list[list[float]] = []
    actions = iter([0.5, 0.5, 0.0, 1.0, 0.25, 0.0])

    def act(self: DDPG, state: np.ndarray, noise: float) -> float:
        seen.append(state.tolist())
        return next(actions)

    monkeypatch.setattr(DDPG, "act", act)
    actor_critic(table, 1e6, lambda _: 0.0, AgentConfig(explore=1, episodes=0, hidden=8))
    expected = [
        [0 / 6, 1.0, 0.0, 0.0, 0.0],
        [1 / 6, 0.7, 0.0, 0.5, 0.5],  # two of four channels, 30 of 100 weights, have 2 bits
        [2 / 6, 0.4, 0.5, 0.75, 0.5],
        [3 / 6, 0.4, 0.75, 0.75, 0.0],
        [4 / 6, 0.0, 0.75, 1.0, 1.0],
        [5 / 6, 0.0, 1.0, 1.0, 0.25],
    ]
    np.testing.assert_allclose(seen, expected, atol=1e-6)


AGENTS = [
    pytest.param(actor_critic, allocate.thresholds, 6, id="actor_critic"),
    pytest.param(haq, allocate.hawq_v2, 4, id="haq"),
]


def uneven_table(seed: int, layers: int) -> SensitivityTable:
    """Layers of ten channels, each far more sensitive than the one before: a wrong width costs much."""
    n, random = 10 * layers, np.random.default_rng(seed)
    trace = np.repeat(10.0 ** np.linspace(-3, 3, layers), 10) * random.uniform(0.8, 1.2, n)
    error = np.tile(4.0 ** -np.arange(len(WIDTHS)), (n, 1))
    return SensitivityTable({f"l{i}": 10 for i in range(layers)}, np.full(n, 50), trace, error)


@pytest.mark.parametrize(("search", "optimum", "layers"), AGENTS)
def test_an_agent_learns_to_come_near_the_known_optimum(
    search: Callable[..., BitPolicy], optimum: allocate.Allocator, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = uneven_table(1, layers)
    budget = float(table.weight_bytes.sum(axis=0)[2])
    best = float(np.log(optimum(table, budget).proxy_loss))
    config = AgentConfig(
        explore=40, episodes=200, batch=32, hidden=32, actor_lr=1e-3, critic_lr=1e-2, tau=0.05, noise_decay=0.97
    )

    def gap_that_is_left() -> float:
        """Mean distance of the last 40 episodes from the optimum, as a share of the exploring ones'."""
        episodes: list[Episode] = []
        search(table, budget, lambda policy: float(np.log(policy.proxy_loss)), config, episodes.append)
        gaps = np.array([episode.loss - best for episode in episodes])
        return float(gaps[-40:].mean() / gaps[:40].mean())

    assert gap_that_is_left() < 0.5
    with monkeypatch.context() as patch:  # the noise falls without learning too: that alone must not be enough
        patch.setattr(DDPG, "learn", lambda self: None)
        assert gap_that_is_left() > 0.5


@pytest.mark.parametrize("search", [actor_critic, haq])
def test_an_agent_keeps_its_budget_and_repeats_by_its_seed(search: Callable[..., BitPolicy]) -> None:
    table = random_table(5, n=120, layers=6)
    budget = float(table.weight_bytes.sum(axis=0)[2])
    config = AgentConfig(explore=10, episodes=30, batch=16, hidden=32, seed=3)
    measured: list[BitPolicy] = []
    episodes: list[Episode] = []

    def loss_of(policy: BitPolicy) -> float:
        measured.append(policy)
        return float(np.log(policy.proxy_loss))

    first = search(table, budget, loss_of, config, episodes.append)
    again = search(table, budget, lambda policy: float(np.log(policy.proxy_loss)), config)
    assert first.bits == again.bits
    assert len(episodes) == 40
    assert episodes[-1].noise < episodes[0].noise
    assert first.proxy_loss == pytest.approx(min(policy.proxy_loss for policy in measured))
    for policy in measured:
        assert table.bytes_of(np.searchsorted(WIDTHS, policy.all_bits)) <= budget
    ceiling = (allocate.thresholds if search is actor_critic else allocate.knapsack)(table, budget)
    assert first.proxy_loss >= ceiling.proxy_loss * 0.999


@pytest.mark.parametrize("search", [actor_critic, haq])
def test_the_seed_reaches_an_agent_that_keeps_its_own_constants(
    search: Callable[..., BitPolicy], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[AgentConfig] = []
    make = DDPG.__init__

    def note(self: DDPG, state_size: int, config: AgentConfig) -> None:
        made.append(config)
        make(self, state_size, config)
        raise KeyboardInterrupt  # what was made is all that is asked here

    monkeypatch.setattr(DDPG, "__init__", note)
    for arguments in ({}, {"seed": 7}, {"seed": 7, "config": AgentConfig(seed=3)}):
        with pytest.raises(KeyboardInterrupt):
            search(random_table(0), 1e6, lambda _: 0.0, **arguments)
    assert [config.seed for config in made] == [1, 7, 3]
    own = AgentConfig() if search is actor_critic else AgentConfig(batch=64, replay=128 * 2, explore=20)
    assert made[0] == own
