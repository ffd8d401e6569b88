"""What a pruning run works on, and what of it lies on disk: one line per step, the network as the last one left it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import load_file, save
from torch import nn

from fer_host.files.artifacts import write_bytes
from fer_host.models.shapes import fit_shapes
from fer_host.prune.channels import Channels, follow_channels
from fer_host.prune.choose import widths
from fer_host.prune.costs import Cost, cost_of
from fer_host.recipe.prune import PruneConfig
from fer_host.recipe.recipe import Recipe
from fer_host.recipe.train import TrainConfig
from fer_host.train.batches import TrainSet

STEPS = "steps.jsonl"


@dataclass(frozen=True)
class Step:
    """One line of ``steps.jsonl``.

    Attributes:
        round: of Punish and Reward, from 0; -1 for the Reward before the first Punish.
        phase: "start", "punish", "round" (to a multiple of channels), "reward", "cut" (a baseline's), "recovery".
        step: within the phase.
        filters: batch-norm channels left.
        parameters: of the network.
        macs: at the recipe's input size.
        int8_kib: estimate, see ``costs``.
        loss: mean training loss of the phase; None where nothing was trained.
        accuracy: on the validation rows, where it was measured; at the size of pruning, in recovery at the recipe's.
        minutes: trained so far, all phases together.
    """

    round: int
    phase: str
    step: int
    filters: int
    parameters: int
    macs: int
    int8_kib: float
    loss: float | None
    accuracy: float | None
    minutes: float


@dataclass
class Run:
    """What a pruning run works on.

    Attributes:
        recipe: of the pruned network.
        config: its ``[prune]`` table.
        network: as it is now.
        data: all Training rows, with targets as a cycle's loss wants them.
        accuracy: of a network at an input size, on the validation rows.
        folder: of the resumable state.
        ms: of a network on a board, by its latency table; None without one.
    """

    recipe: Recipe
    config: PruneConfig
    network: nn.Module
    data: Callable[[TrainConfig], TrainSet]
    accuracy: Callable[[nn.Module, int], float]
    folder: Path
    ms: Callable[[nn.Module], float] | None = None

    def __post_init__(self) -> None:
        self.start_cost, self.start_filters = self.cost(), count_filters(self.network)
        self.start_widths = widths(self.follow())

    def follow(self) -> Channels:
        """The channels of the network as it is now."""
        return follow_channels(self.network, self.recipe.input.channels, self.recipe.size_px)

    def cost(self) -> Cost:
        """Of the network as it is now."""
        return cost_of(self.network, self.recipe.input.channels, self.recipe.size_px, self.ms)


def count_filters(network: nn.Module) -> int:
    """Batch-norm channels, which the thesis counts as filters."""
    return sum(m.num_features for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d))


class Log:
    """The steps done so far and the network as the last of them left it, on disk."""

    def __init__(self, run: Run) -> None:
        self.run = run
        run.folder.mkdir(parents=True, exist_ok=True)
        self.path = run.folder / STEPS
        self.done: list[Step] = []
        lines = self.path.read_text().splitlines() if self.path.is_file() else []
        if self._after(len(lines)).is_file():
            self.done = [Step(**json.loads(line)) for line in lines]
            self._load(self._after(len(lines)))

    def add(
        self, round_: int, phase: str, step: int, loss: float | None, accuracy: float | None, minutes: float
    ) -> None:
        """Writes the network, then the line: a kill between them repeats the step on the network before it."""
        cost, network = self.run.cost(), self.run.network
        filters = count_filters(network)
        total = minutes + (self.done[-1].minutes if self.done else 0.0)
        line = Step(
            round_, phase, step, filters, cost.parameters, cost.macs, round(cost.int8_kib, 1), loss, accuracy, total
        )
        self.done.append(line)
        state = {key: value.contiguous() for key, value in network.state_dict().items()}
        write_bytes(self._after(len(self.done)), save(state))
        write_bytes(self.path, "".join(json.dumps(asdict(step)) + "\n" for step in self.done).encode())
        self._after(len(self.done) - 1).unlink(missing_ok=True)

    def has(self, round_: int, phase: str, step: int) -> bool:
        """Whether this step was done."""
        return any((line.round, line.phase, line.step) == (round_, phase, step) for line in self.done)

    def accuracy(self, round_: int, phase: str) -> float:
        """Of the last such step."""
        found = [line.accuracy for line in self.done if (line.round, line.phase) == (round_, phase)]
        return found[-1] or 0.0

    def any(self, phase: str, step: int | None = None) -> bool:
        """Whether a step of this phase was done, or this one."""
        return any(line.phase == phase and step in (None, line.step) for line in self.done)

    @property
    def round(self) -> int:
        """The last one that was begun."""
        return max(line.round for line in self.done)

    def keep_round(self, round_: int) -> None:
        """Keeps the network of a round within the Judge's limit."""
        kept = self._of_round(round_)
        if not kept.is_file():
            write_bytes(kept, self._after(len(self.done)).read_bytes())

    def back_to_round(self, round_: int) -> None:
        """Goes back to the last network within the Judge's limit; -1 is the start."""
        self._load(self._of_round(round_))

    def _after(self, n_steps: int) -> Path:
        return self.run.folder / f"network-{n_steps}.safetensors"

    def _of_round(self, round_: int) -> Path:
        return self.run.folder / f"round-{round_}.safetensors"

    def _load(self, path: Path) -> None:
        state = load_file(path)
        fit_shapes(self.run.network, state)
        self.run.network.load_state_dict(state)
