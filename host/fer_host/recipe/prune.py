"""The constants of a pruning run, as the ``[prune]`` table of a recipe states them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from fer_edge.contract.errors import SchemaError
from fer_host.recipe.train import TrainConfig

# |.| of each sample's own product, summed (the thesis' formula), or of the batch's sum (the Gate Decorator's code)
Form = Literal["per_sample", "per_batch"]
# filters go by importance alone (the thesis), or by importance per unit of what is still over the budget
Rank = Literal["importance", "importance_per_cost"]
Method = Literal["gated", "slimming", "greg", "uniform"]
RANKS: tuple[Rank, ...] = get_args(Rank)
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class Floor:
    """What every layer keeps.

    Attributes:
        share: of the channels it had at the start, 0..1.
        channels: at least so many.
    """

    share: float = 0.1
    channels: int = 4

    def of(self, n_start: int) -> int:
        """Channels that a layer of ``n_start`` keeps at least."""
        return min(n_start, max(self.channels, math.ceil(self.share * n_start)))


@dataclass(frozen=True)
class Budget:
    """What the smaller network may cost; what is left out is not limited.

    Attributes:
        parameters: share of the start's, 0..1.
        macs: share of the start's, 0..1.
        int8_kib: size of the int8 tflite file, estimated from the weights (see ``costs``).
        ms: of the int8 file on a board, by its latency table.
    """

    parameters: float | None = None
    macs: float | None = None
    int8_kib: float | None = None
    ms: float | None = None

    def __post_init__(self) -> None:
        limits = (self.parameters, self.macs, self.int8_kib, self.ms)
        if all(limit is None for limit in limits) or any(limit is not None and limit <= 0 for limit in limits):
            raise SchemaError("budget", "expected at least one limit, above 0: parameters, macs, int8_kib, ms")
        if max(self.parameters or 0, self.macs or 0) > 1:
            raise SchemaError("budget", "parameters and macs are shares of the start, at most 1")

    def __str__(self) -> str:
        units = {"parameters": "of the parameters", "macs": "of the MACs", "int8_kib": "KiB in int8", "ms": "ms"}
        limits = {name: getattr(self, name) for name in units}
        return ", ".join(f"{limit:g} {units[name]}" for name, limit in limits.items() if limit is not None)


@dataclass(frozen=True)
class PruneConfig:
    """How a network is made smaller; the recipe's ``[[train]]`` cycles are the recovery afterwards.

    Attributes:
        source: recipe whose shipped weights are the start.
        method: "gated" is Punish, Reward, Judge; the others are its baselines.
        budget: where it ends.
        size_px: side of the input while pruning (smaller is cheaper; costs are counted at the recipe's own).
        form: of the gates' scores.
        per_class: images per class of the Punish subset.
        filters: share of the start's batch-norm channels removed a Punish step.
        punish_steps: a round.
        punish_lr: of the batch norms, which alone are trained in Punish.
        reward: the training before the first Punish and after every round of it; its loss has ``gamma_l1``, and class
            weights where the recipe follows the thesis.
        judge_drop: accuracy that may be lost on the validation rows before recovery, of what the start had after the
            first Reward, at ``size_px``; beyond it the run stops.
        floor: what every layer keeps.
        baseline_epochs: that a baseline trains around its cut, as many as the gated run's Reward takes in all.
        slimming_l1: network slimming's weight of the sum of |gamma|; a short training needs more than a long one.
        greg_ceiling: of GReg's penalty; see ``Growth``.
        seed: of the subset.
        rank: see ``Rank``.
        round_to: layers end with a multiple of so many channels, by removing a few more; 1: any number. Kernels take
            channels by eights or so, and a layer that is a little wider may take no longer.
    """

    source: str
    method: Method
    budget: Budget
    size_px: int
    form: Form
    per_class: int
    filters: float
    punish_steps: int
    punish_lr: float
    reward: TrainConfig
    judge_drop: float
    floor: Floor
    baseline_epochs: int
    slimming_l1: float
    greg_ceiling: float
    seed: int
    rank: Rank = "importance"
    round_to: int = 1

    def __post_init__(self) -> None:
        if self.round_to < 1:
            raise SchemaError("round_to", f"found {self.round_to}, expected a number of channels, at least 1")
