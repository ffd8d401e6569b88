"""The constants of a training run, as a recipe's ``[[train]]`` tables state them: nothing has a default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Phase:
    """Epochs trained at one input size (progressive resizing: small first is cheaper)."""

    epochs: int
    size_px: int


@dataclass(frozen=True)
class Augment:
    """How far training images are moved. All draws are uniform; probabilities in 0..1.

    Attributes:
        flip_p: of a mirror image.
        rotate_deg: up to this, either way.
        scale: factor 1 ± this.
        shift: up to this fraction of the image side, either way.
        brightness: added, of the 0..1 range, either way.
        contrast: factor 1 ± this.
        erase_p: of one erased rectangle.
        erase_area: its share of the image, least and most.
    """

    flip_p: float
    rotate_deg: float
    scale: float
    shift: float
    brightness: float
    contrast: float
    erase_p: float
    erase_area: tuple[float, float]


@dataclass(frozen=True)
class TrainConfig:
    """One cycle of training; a recipe has one or more, each with its own rise and fall of the learning rate.

    Attributes:
        start: where the weights come from; "previous" takes the averaged ones of the cycle before.
        min_votes: rows with fewer emotion votes (of ten) are left out.
        phases: epochs by input size, in order.
        seed: of every draw.
        batch: images a step.
        lr_max: peak learning rate of the one cycle.
        warmup: fraction of all steps in which the rate rises.
        momentum: Nesterov's.
        weight_decay: on matrices and kernels; vectors have none.
        ema_decay: of the averaged weights that are scored and shipped.
        clip_norm: largest gradient norm.
        class_weights: weigh the loss by max_c N_c / N_y.
        augment: how images are moved.
    """

    start: Literal["imagenet", "random", "previous"]
    min_votes: int
    phases: tuple[Phase, ...]
    seed: int
    batch: int
    lr_max: float
    warmup: float
    momentum: float
    weight_decay: float
    ema_decay: float
    clip_norm: float
    class_weights: bool
    augment: Augment
