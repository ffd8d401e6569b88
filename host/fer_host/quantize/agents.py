"""Actor-critic allocators: the thesis' agent, and HAQ's layer-wise one; the environment keeps the budget.

DDPG (Lillicrap et al. 2016, arXiv 1509.02971) with HAQ's constants (Wang et al. 2019, arXiv 1811.08886) where the
thesis is silent: two hidden layers of 300, discount 1, soft updates of 0.01, the final reward copied to every step
less a moving average. The thesis gives: a state of five, a sigmoid actor, learning rates 1e-4 and 1e-3, batches of 128,
a replay of 600, 50 exploring episodes with noise 0.5 and 600 with noise that decays.
"""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from fer_host.quantize.allocate import Choice, check_budget, trace_order
from fer_host.quantize.grid import WIDTHS
from fer_host.quantize.policy import BitPolicy
from fer_host.quantize.sensitivity import SensitivityTable

LossOf = Callable[[BitPolicy], float]  # of the quantized network, without tuning, on the search images


@dataclass(frozen=True)
class AgentConfig:
    """Constants of a search; see the module's text for where they come from."""

    explore: int = 50
    episodes: int = 600
    noise: float = 0.5
    noise_decay: float = 0.99
    hidden: int = 300
    actor_lr: float = 1e-4
    critic_lr: float = 1e-3
    batch: int = 128
    replay: int = 600
    tau: float = 0.01
    baseline_decay: float = 0.5
    seed: int = 1


@dataclass(frozen=True)
class Episode:
    """One line of a search's learning curve."""

    number: int
    loss: float
    best: float
    noise: float


class DDPG:
    """Deterministic policy gradient for one action in 0..1.

    Args:
        state_size: numbers in a state.
        config: constants; ``seed`` fixes weights, noise and draws.
    """

    def __init__(self, state_size: int, config: AgentConfig) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.random = np.random.default_rng(config.seed)
        self.actor = nn.Sequential(*_body(state_size, config.hidden), nn.Linear(config.hidden, 1), nn.Sigmoid())
        self.critic = nn.Sequential(*_body(state_size + 1, config.hidden), nn.Linear(config.hidden, 1))
        self.slow_actor, self.slow_critic = copy.deepcopy(self.actor), copy.deepcopy(self.critic)
        self.actor_step = torch.optim.Adam(self.actor.parameters(), config.actor_lr)
        self.critic_step = torch.optim.Adam(self.critic.parameters(), config.critic_lr)
        self.replay: deque[tuple[NDArray[np.float32], float, float, NDArray[np.float32], bool]] = deque(
            maxlen=config.replay
        )
        self.average: float | None = None

    def act(self, state: NDArray[np.float32], noise: float) -> float:
        """The actor's share with truncated normal noise, in 0..1."""
        with torch.no_grad():
            mean = float(self.actor(torch.from_numpy(state)))
        while noise > 0:
            drawn = self.random.normal(mean, noise)
            if 0 <= drawn <= 1:
                return float(drawn)
        return mean

    def remember(self, states: list[NDArray[np.float32]], actions: list[float], reward: float) -> None:
        """An episode: its final reward goes to every step."""
        for i, (state, action) in enumerate(zip(states, actions, strict=True)):
            last = i + 1 == len(states)
            self.replay.append((state, action, reward, states[i if last else i + 1], last))

    def learn(self) -> None:
        """One update of critic, actor and their slow copies."""
        if len(self.replay) < self.config.batch:
            return
        rows = [self.replay[i] for i in self.random.integers(0, len(self.replay), self.config.batch)]
        states, following = (torch.from_numpy(np.stack([row[i] for row in rows])) for i in (0, 3))
        actions, rewards = (torch.tensor([[row[i]] for row in rows], dtype=torch.float32) for i in (1, 2))
        going_on = torch.tensor([[not row[4]] for row in rows], dtype=torch.float32)
        mean = float(rewards.mean())
        decay = self.config.baseline_decay
        self.average = mean if self.average is None else decay * self.average + (1 - decay) * mean
        with torch.no_grad():
            ahead = self.slow_critic(torch.cat([following, self.slow_actor(following)], 1))
            wanted = rewards - self.average + going_on * ahead
        critic_loss = functional.mse_loss(self.critic(torch.cat([states, actions], 1)), wanted)
        self.critic_step.zero_grad()
        critic_loss.backward()  # type: ignore[no-untyped-call]
        self.critic_step.step()
        actor_loss = -self.critic(torch.cat([states, self.actor(states)], 1)).mean()
        self.actor_step.zero_grad()
        actor_loss.backward()
        self.actor_step.step()
        with torch.no_grad():
            for slow, fast in ((self.slow_actor, self.actor), (self.slow_critic, self.critic)):
                for old, new in zip(slow.parameters(), fast.parameters(), strict=True):
                    old.lerp_(new, self.config.tau)


def _body(inputs: int, hidden: int) -> list[nn.Module]:
    return [nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]


def actor_critic(
    table: SensitivityTable,
    budget_bytes: float,
    loss_of: LossOf,
    config: AgentConfig | None = None,
    on_episode: Callable[[Episode], None] | None = None,
    seed: int = 1,
) -> BitPolicy:
    """The thesis' search: six shares in trace order, for 2 to 7 bits, each of what remains; the rest has 8.

    The reward, which the thesis leaves open, is minus the loss of the quantized network. The environment moves the six
    cuts together until the budget is just kept.

    Args:
        table: gives the order and the sizes.
        budget_bytes: effective bytes.
        loss_of: see ``LossOf``.
        config: constants; None takes the thesis'.
        on_episode: called after each, for the learning curve.
        seed: of the thesis' constants; ``config`` has its own.

    Raises:
        DataError: 2 bits everywhere are over the budget.
    """
    config = config or AgentConfig(seed=seed)
    order = trace_order(table)
    n_steps = len(WIDTHS) - 1
    before = np.concatenate([[0.0], np.cumsum(table.n_weights[order])]) / table.n_weights.sum()

    def play(agent: DDPG, noise: float) -> tuple[Choice, list[NDArray[np.float32]], list[float]]:
        cuts, states, actions = [], [], []
        start, end, action = 0.0, 0.0, 0.0
        for step in range(n_steps):
            # the thesis' five: which width, the share of all weights (channels differ in size) that has none yet, the
            # last width's cuts, the last action
            left = 1 - before[round(end * len(order))]
            state = np.array([step / n_steps, left, start, end, action], dtype=np.float32)
            action = agent.act(state, noise)
            start, end = end, end + action * (1 - end)
            cuts.append(end)
            states.append(state)
            actions.append(action)
        return cuts_within(table, order, np.array(cuts), budget_bytes), states, actions

    return _search("actor_critic", table, budget_bytes, loss_of, config, 5, play, on_episode)


def cuts_within(table: SensitivityTable, order: Choice, cuts: NDArray[np.float64], budget_bytes: float) -> Choice:
    """Widths by cuts (0..1, rising) of the sorted list, moved so that the budget is just kept.

    Over budget, all cuts move toward the end, which narrows channels; under it, toward the start; the distances keep
    their ratio.
    """
    n = len(order)

    def at(t: float) -> Choice:
        moved = 1 - (1 - cuts) * (1 - t) if t >= 0 else cuts * (1 + t)  # t in -1..1: 1 has 2 bits everywhere
        choice = np.empty(n, dtype=np.int64)
        choice[order] = np.searchsorted(np.round(moved * n), np.arange(n), side="right")
        return choice

    low, high = -1.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if table.bytes_of(at(middle)) <= budget_bytes else (middle, high)
    return at(high)


def haq(
    table: SensitivityTable,
    budget_bytes: float,
    loss_of: LossOf,
    config: AgentConfig | None = None,
    on_episode: Callable[[Episode], None] | None = None,
    seed: int = 1,
) -> BitPolicy:
    """HAQ's search: one width per layer; over budget, widths fall from the last layer backwards, one bit per turn.

    HAQ keeps the first and the last layer at 8 bits; here every layer is the agent's, as for the other allocators.

    Its state has seven of HAQ's ten features, those that a table knows: place, channels, weights a channel, all
    weights, trace, what is decided and what is left, and the previous action.

    Args:
        table: gives layers, sizes and traces.
        budget_bytes: effective bytes.
        loss_of: see ``LossOf``.
        config: constants; None takes HAQ's.
        on_episode: called after each, for the learning curve.
        seed: of HAQ's constants; ``config`` has its own.

    Raises:
        DataError: 2 bits everywhere are over the budget.
    """
    config = config or AgentConfig(batch=64, replay=128 * len(table.layers), explore=20, seed=seed)
    n_layers = len(table.layers)
    members = [np.flatnonzero(table.layer_of == i) for i in range(n_layers)]
    weights = np.array([table.n_weights[rows].sum() for rows in members], dtype=np.float64)
    trace = np.array([np.log(table.mean_trace[rows].mean()) for rows in members])
    spread = max(float(trace.max() - trace.min()), 1e-9)
    after = np.concatenate([np.cumsum(weights[::-1])[::-1][1:], [0.0]]) / weights.sum()

    def play(agent: DDPG, noise: float) -> tuple[Choice, list[NDArray[np.float32]], list[float]]:
        by_layer = np.zeros(n_layers, dtype=np.int64)
        states, actions, action = [], [], 1.0
        for i, rows in enumerate(members):
            features = (
                i / n_layers,
                np.log(len(rows)) / 8,
                np.log(table.n_weights[rows[0]]) / 8,
                weights[i] / weights.max(),
                (trace[i] - trace.min()) / spread,
                after[i],
                action,
            )
            state = np.array(features, dtype=np.float32)
            action = agent.act(state, noise)
            # rounding over [least - 0.5, most + 0.5], as HAQ does
            by_layer[i] = min(int(action * len(WIDTHS)), len(WIDTHS) - 1)
            states.append(state)
            actions.append(action)
        while table.bytes_of(by_layer[table.layer_of]) > budget_bytes:
            for i in reversed(range(n_layers)):
                by_layer[i] = max(by_layer[i] - 1, 0)
                if table.bytes_of(by_layer[table.layer_of]) <= budget_bytes:
                    break
        return by_layer[table.layer_of], states, actions

    return _search("haq", table, budget_bytes, loss_of, config, 7, play, on_episode)


def _search(
    name: str,
    table: SensitivityTable,
    budget_bytes: float,
    loss_of: LossOf,
    config: AgentConfig,
    state_size: int,
    play: Callable[[DDPG, float], tuple[Choice, list[NDArray[np.float32]], list[float]]],
    on_episode: Callable[[Episode], None] | None,
) -> BitPolicy:
    check_budget(table, budget_bytes)  # below it no episode could keep the budget
    started = time.perf_counter()
    agent = DDPG(state_size, config)
    known: dict[bytes, float] = {}
    best: tuple[float, Choice] | None = None
    total = config.explore + config.episodes
    for number in tqdm(range(total), desc=name, unit="episode", disable=None, leave=False):
        noise = config.noise * config.noise_decay ** max(0, number - config.explore)
        choice, states, actions = play(agent, noise)
        key = choice.tobytes()
        if key not in known:
            known[key] = loss_of(table.policy(choice, name, budget_bytes))
        loss = known[key]
        agent.remember(states, actions, -loss)
        if number >= config.explore:
            for _ in actions:
                agent.learn()
        if best is None or loss < best[0]:
            best = loss, choice
        if on_episode is not None:
            on_episode(Episode(number, loss, best[0], noise))
    assert best is not None
    notes = {"held_out_loss": best[0], "episodes": float(total), "policies_measured": float(len(known))}
    return table.policy(best[1], name, budget_bytes, seconds=time.perf_counter() - started, notes=notes)
