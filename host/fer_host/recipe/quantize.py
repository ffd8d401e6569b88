"""The constants of HAWQC, as a recipe's ``[quantize]`` table states them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from fer_edge.contract.errors import SchemaError
from fer_host.recipe.train import TrainConfig

AllocatorName = Literal["uniform", "hawq_v2", "haq", "actor_critic", "thresholds", "knapsack"]
ALLOCATORS: tuple[AllocatorName, ...] = get_args(AllocatorName)


@dataclass(frozen=True)
class QuantizeConfig:
    """How widths are chosen and weights tuned.

    Attributes:
        allocator: who chooses the widths.
        compression: of the float network, by the rule of ``quantize.policy``.
        trace_images: Training images that the traces are a mean over.
        search_images: Training images, others than those, whose loss is the agents' reward.
        seed: of the draw of both, and of the agents.
        tune: fine-tuning on the grids; starts from the recipe's own weights.
    """

    allocator: AllocatorName
    compression: float
    trace_images: int
    search_images: int
    seed: int
    tune: TrainConfig

    def __post_init__(self) -> None:
        if self.tune.start != "previous":
            raise SchemaError("tune.start", "expected previous: tuning starts from the recipe's own weights")
        if min(self.trace_images, self.search_images) < 1:
            raise SchemaError("trace_images", "expected at least 1, and so for search_images")
