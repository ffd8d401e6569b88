"""The constants of a training run, as a recipe's ``[[train]]`` tables state them: nothing has a default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fer_edge.contract.errors import SchemaError


@dataclass(frozen=True)
class Phase:
    """Epochs trained at one input size (progressive resizing: small first is cheaper)."""

    epochs: int
    size_px: int


@dataclass(frozen=True)
class Light:
    """How light and camera spoil training images, in the order in which they do; every part is off by default.

    Each part is drawn for each image by itself: whether at all by its probability, how much uniformly. Before
    ``erase`` the picture is rounded to 8 bits and cut to 0..255, as a camera does.

    Attributes:
        blur_p: of a blurred picture; half of them out of focus (Gaussian), half shaken (a line in any direction).
        blur_px: largest standard deviation of the Gaussian, and a fifth of the longest line.
        haze_p: of a veil: value (1 - h) + h s with h up to ``haze``, s in 0.5..0.9.
        haze: see there.
        gamma_p: of value ^ e^g with g within ± ``gamma``.
        gamma: see there.
        gain_p: of a dim or an overexposed picture.
        gain: least and largest factor of the values, drawn on a logarithmic scale.
        noise_p: of Gaussian noise, added after the gain: what is dim drowns in it.
        noise: its largest standard deviation, of the 0..1 range.
        small_p: of a picture that was smaller and is enlarged again.
        small: least side, as a share of the picture's own.
        jpeg_p: of JPEG's losses: 8 x 8 blocks in frequencies, rounded by the standard's luma table (Annex K).
        jpeg: least and largest quality, 1..100.
    """

    blur_p: float = 0.0
    blur_px: float = 0.0
    haze_p: float = 0.0
    haze: float = 0.0
    gamma_p: float = 0.0
    gamma: float = 0.0
    gain_p: float = 0.0
    gain: tuple[float, float] = (1.0, 1.0)
    noise_p: float = 0.0
    noise: float = 0.0
    small_p: float = 0.0
    small: float = 1.0
    jpeg_p: float = 0.0
    jpeg: tuple[int, int] = (50, 95)


@dataclass(frozen=True)
class Augment:
    """How far training images are moved. All draws are uniform; probabilities in 0..1.

    Attributes:
        flip_p: of a mirror image.
        rotate_deg: up to this, either way.
        scale: factor 1 ± this.
        aspect: width over height times e^± this.
        shift: up to this fraction of the image side, either way.
        brightness: added, of the 0..1 range, either way.
        contrast: factor 1 ± this.
        erase_p: of one erased rectangle.
        erase_area: its share of the image, least and most.
        light: how light and camera spoil a picture after it was moved; None: not at all.
    """

    flip_p: float
    rotate_deg: float
    scale: float
    aspect: float
    shift: float
    brightness: float
    contrast: float
    erase_p: float
    erase_area: tuple[float, float]
    light: Light | None = None


@dataclass(frozen=True)
class OptimizerConfig:
    """How weights move.

    Attributes:
        kind: "sgd" (Nesterov) or "adam".
        lr: the schedule's largest learning rate.
        momentum: Nesterov's, or Adam's first beta.
        weight_decay: on matrices and kernels; vectors (biases, BN, PReLU slopes) have none.
        sam_rho: radius of sharpness-aware minimization (Foret et al. 2021, arXiv 2010.01412); 0: off.
    """

    kind: Literal["sgd", "adam"]
    lr: float
    momentum: float
    weight_decay: float
    sam_rho: float


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate changes.

    Attributes:
        kind: "one_cycle" (linear rise, cosine to zero), "step" (times ``factor`` every ``every_epochs``),
            "exponential" (times ``factor`` every epoch), "constant", "trapezoid" (linear rise, plateau, linear fall to
            zero: a plateau may be made longer later, and the fall tried from anywhere on it).
        warmup: fraction of all steps in which the rate rises ("one_cycle", "trapezoid").
        decay: fraction of all steps in which it falls ("trapezoid").
        every_epochs: see "step".
        factor: see "step" and "exponential".
        of_epochs: length of the cycle of which the epochs are the beginning ("one_cycle", "trapezoid"); None: they are
            all of it.
    """

    kind: Literal["one_cycle", "step", "exponential", "constant", "trapezoid"]
    warmup: float = 0.0
    every_epochs: int = 1
    factor: float = 1.0
    of_epochs: int | None = None
    decay: float = 0.0

    def __post_init__(self) -> None:
        if self.warmup + self.decay > 1:
            raise SchemaError("decay", f"found {self.decay:g} after a warm-up of {self.warmup:g}, expected 1 together")


@dataclass(frozen=True)
class LossConfig:
    """What is minimized: cross-entropy against a target distribution, and terms that some papers add.

    The target is ``vote_share`` x crowd votes + ``teacher_share`` x a teacher's output + ``fer7_share`` x FER2013's own
    label + the rest on the label.

    Attributes:
        vote_share: see above, 0..1; 1 is label distribution learning on real votes.
        teacher_share: see above, 0..1.
        teacher: recipe of the teacher, which knows the student's labels; none when its share is 0.
        with_teachers: recipes of more; the student learns from the mean of all their probabilities.
        fer7_share: see above, 0..1; for a network of FERPlus' eight labels that is also judged by FER2013's seven.
        class_weights: weigh classes by max_c N_c / N_y.
        combo: weight of LFER-LDL's combo loss (weighted BCE and dice); 0: off.
        combo_alpha: BCE against dice, 0..1.
        combo_beta: of the BCE's terms for present against absent classes, 0..1.
        attention: weight of DDAMFN's attention loss; 0: off.
        attention_pairs: "unordered" pairs of heads as in the official code, "ordered" as in the paper's formula,
            which is half as large.
        head_shares: weight of each of the recipe's ``heads``, in their order; empty for a network of one label set. The
            shares of votes and labels above are the first head's; any other learns its set's own labels.
        gamma_l1: weight of the sum of |gamma| over all batch norms, which drives channels that matter little to zero.
    """

    vote_share: float
    teacher_share: float = 0.0
    teacher: str | None = None
    fer7_share: float = 0.0
    class_weights: bool = False
    combo: float = 0.0
    combo_alpha: float = 0.5
    combo_beta: float = 0.5
    attention: float = 0.0
    attention_pairs: Literal["unordered", "ordered"] = "unordered"
    gamma_l1: float = 0.0
    head_shares: tuple[float, ...] = ()
    with_teachers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shares = (self.vote_share, self.teacher_share, self.fer7_share)
        if min(shares) < 0 or self.label_share < -1e-9:
            raise SchemaError("vote_share", "expected shares of votes, teacher and fer7 from 0 up, at most 1 together")
        if (self.teacher is None) != (self.teacher_share == 0):
            raise SchemaError("teacher", "expected a teacher exactly where teacher_share is above 0")
        if self.with_teachers and self.teacher is None:
            raise SchemaError("with_teachers", "found without a teacher; expected the first one as `teacher`")

    @property
    def label_share(self) -> float:
        """What votes, teacher and FER2013's own label leave to the label of the recipe's set."""
        return 1 - self.vote_share - self.teacher_share - self.fer7_share


@dataclass(frozen=True)
class TrainConfig:
    """One cycle of training; a recipe has one or more, each with its own rise and fall of the learning rate.

    Attributes:
        start: where the weights come from; "previous" takes the averaged ones of the cycle before, "faces" the body
            of the recipe that ``faces`` names, which learned to tell people apart; "imagenet"; "random"; else a recipe,
            or a file of weights: every tensor that fits by name and shape.
        min_votes: rows with fewer emotion votes (of ten) are left out.
        phases: epochs by input size, in order.
        seed: of every draw.
        batch: images a step.
        ema_decay: of the averaged weights that are scored and shipped.
        clip_norm: largest gradient norm.
        optimizer: how weights move.
        schedule: how the learning rate changes.
        loss: what is minimized.
        augment: how images are moved.
        precision: of activations in the forward and backward pass; weights, batch norm's statistics and the loss are
            float32 in any case. "bfloat16" is faster where the processor multiplies it in hardware (AMX, GPUs); "auto"
            measures both, and the number of threads, when the run starts, and keeps to the faster.
        trainable: "head" trains the classifier alone; the body and its batch norms stand still.
        faces: see ``start``.
        mixup: first parameter of the Beta distribution that mixes pairs of images and targets (Zhang et al. 2018,
            arXiv 1710.09412) in half of the batches; 0: off.
    """

    start: str
    min_votes: int
    phases: tuple[Phase, ...]
    seed: int
    batch: int
    ema_decay: float
    clip_norm: float
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    loss: LossConfig
    augment: Augment
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    trainable: Literal["all", "head"] = "all"
    faces: str | None = None
    mixup: float = 0.0

    def __post_init__(self) -> None:
        if (self.start == "faces") != (self.faces is not None):
            raise SchemaError("faces", 'expected the name of a recipe exactly where start is "faces"')
        epochs, of_epochs = sum(phase.epochs for phase in self.phases), self.schedule.of_epochs
        if of_epochs is not None and of_epochs < epochs:
            raise SchemaError("schedule.of_epochs", f"found {of_epochs}, expected at least the {epochs} of the phases")
