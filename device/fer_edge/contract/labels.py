"""Label sets and their order. A network's own order is its manifest's ``labels``; nothing is inferred from a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fer_edge.contract.bounds import LABEL_CHARS as _LONGEST_LABEL
from fer_edge.contract.bounds import LABELS as _MOST_LABELS
from fer_edge.contract.errors import SchemaError

# Alphabetical, as in the thesis' app (and the eight-class HSEmotion networks it stems from).
EMOTIONS8 = ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
EMOTIONS7 = tuple(name for name in EMOTIONS8 if name != "contempt")
LABEL_SETS = {"ferplus8": EMOTIONS8, "fer7": EMOTIONS7}
# protocol of an accuracy -> the label set that it scores
PROTOCOLS = {"ferplus8": "ferplus8", "ferplus8_majority": "ferplus8", "fer7": "fer7"}


@dataclass(frozen=True)
class Calibration:
    """How outputs become probabilities that mean what they say.

    Attributes:
        method: "temperature" (Guo et al. 2017, arXiv 1706.04599): outputs are divided by it before the softmax.
        temperature: above 1 makes answers less sure.
        fitted_on: the rows, in words.
        n: number of them.
        ece_before: expected calibration error (Guo et al., eq. 5) without it, on rows that it was not fitted on.
        ece_after: and with it.
    """

    method: Literal["temperature"]
    temperature: float
    fitted_on: str
    n: int
    ece_before: float
    ece_after: float

    def __post_init__(self) -> None:
        if not 0.05 <= self.temperature <= 20:
            raise SchemaError("temperature", f"found {self.temperature:g}, expected 0.05 to 20")


@dataclass(frozen=True)
class LabelSet:
    """One of the label sets that a network answers in.

    Attributes:
        id: "ferplus8", "fer7", or "own" for labels of the user's.
        labels: names in output order.
        slice: first of its outputs, and the one after its last.
        calibration: of its outputs; None: taken as they are.
    """

    id: str
    labels: tuple[str, ...]
    slice: tuple[int, int]
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        check_labels(self.labels)
        first, end = self.slice
        if first < 0 or end - first != len(self.labels):
            raise SchemaError("slice", f"found {first} to {end}, expected {len(self.labels)} outputs, one a label")


def label_sets(ids: tuple[str, ...]) -> tuple[LabelSet, ...]:
    """The known label sets of these names as outputs of one network, one after the other."""
    sets: list[LabelSet] = []
    for name in ids:
        start = sets[-1].slice[1] if sets else 0
        sets.append(LabelSet(name, LABEL_SETS[name], (start, start + len(LABEL_SETS[name]))))
    return tuple(sets)


def check_labels(labels: tuple[str, ...]) -> None:
    """Refuses labels that cannot be told apart, or that a terminal, JSON, an MQTT topic or a page could not show.

    Raises:
        SchemaError: fewer than two, too many, a name twice, or one that is not plain.
    """
    if len(labels) < 2 or len(set(labels)) != len(labels):
        raise SchemaError("labels", "found too few, or one twice")
    if len(labels) > _MOST_LABELS:
        raise SchemaError("labels", f"found {len(labels)}, expected at most {_MOST_LABELS}")
    for i, label in enumerate(labels):
        if not (label.isprintable() and label.strip() == label and 0 < len(label) <= _LONGEST_LABEL):
            raise SchemaError(f"labels[{i}]", f"found {label!r}, expected 1 to {_LONGEST_LABEL} printable characters")


def check_sets(sets: tuple[LabelSet, ...] | None, default: str | None) -> None:
    """Refuses label sets that one network cannot answer in.

    Raises:
        SchemaError: fewer than two, a name twice, a gap between their outputs, or a default that is none of them.
    """
    if (sets is None) != (default is None):
        raise SchemaError("default_label_set", "expected beside label_sets, and only there")
    if sets is None:
        return
    ids = [each.id for each in sets]
    if len(ids) < 2 or len(set(ids)) != len(ids):
        raise SchemaError("label_sets", "expected two or more, each id once")
    starts = [0, *(each.slice[1] for each in sets)]
    for i, each in enumerate(sets):
        if each.slice[0] != starts[i]:
            raise SchemaError(f"label_sets[{i}].slice", f"found {each.slice[0]}, expected {starts[i]}: no gap")
    if default not in ids:
        raise SchemaError("default_label_set", f"found {default!r}, expected one of {', '.join(ids)}")


def find_set(sets: tuple[LabelSet, ...], set_id: str) -> LabelSet:
    """The label set of this name.

    Raises:
        SchemaError: there is none.
    """
    for each in sets:
        if each.id == set_id:
            return each
    raise SchemaError("labels", f"found {set_id!r}, this bundle answers in {', '.join(each.id for each in sets)}")
