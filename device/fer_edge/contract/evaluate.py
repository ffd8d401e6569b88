"""The evaluation schema (``fer-edge/evaluate/1``); fractions are 0 to 1, rows of the confusion matrix are true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fer_edge.contract import codec

SCHEMA = "fer-edge/evaluate/1"


@dataclass(frozen=True)
class WithoutDuplicates:
    """The same figure without rows that are pixel-identical to a training image."""

    accuracy: float
    n: int


@dataclass(frozen=True)
class Sure:
    """What a probability is worth: how many answers are not marked ``uncertain``, and how many of them are right.

    Attributes:
        threshold: an answer below it is uncertain (``[track] uncertain_below``'s default).
        share: of answers that reach it.
        accuracy: of those; 0 where there are none.
        surest_80: accuracy of the surest 80% of the answers.
    """

    threshold: float
    share: float
    accuracy: float
    surest_80: float


@dataclass(frozen=True)
class Group:
    """Figures of one group of people, or of pictures.

    Attributes:
        column: what they are grouped by.
        value: the group.
        n: its pictures.
        accuracy: of them.
        interval: 95% interval of the accuracy (Wilson 1927), as if pictures were independent.
        mean_probability: of the true label.
        recall: by label, of those that occur.
    """

    column: str
    value: str
    n: int
    accuracy: float
    interval: tuple[float, float]
    mean_probability: float
    recall: dict[str, float]


@dataclass(frozen=True)
class EvaluateDoc:
    """Accuracy of one variant on one data set through the device's own preprocess and interpreter.

    ``occluded`` names the part of the face behind a gray bar; ``views`` says how many crops of a face were averaged.
    ``names`` are the labels in the order of ``confusion``, where ``labels`` is "own".
    """

    variant: str
    labels: str
    n: int
    n_dropped: int
    accuracy: float
    macro_f1: float
    recall: dict[str, float]
    confusion: tuple[tuple[int, ...], ...]
    ece: float
    without_duplicates: WithoutDuplicates | None = None
    data: str | None = None
    usage: str | None = None
    occluded: Literal["eyes", "mouth"] | None = None
    views: int | None = None
    sure: Sure | None = None
    names: tuple[str, ...] | None = None
    groups: tuple[Group, ...] | None = None


def dumps(document: EvaluateDoc) -> str:
    """As JSON text."""
    return codec.dumps(SCHEMA, document)


def loads(text: str | bytes) -> EvaluateDoc:
    """From JSON text; raises SchemaError with the field's path."""
    return codec.loads(SCHEMA, EvaluateDoc, text)
