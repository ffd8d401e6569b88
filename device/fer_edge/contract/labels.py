"""Label sets and their order. A network's own order is its manifest's ``labels``; nothing is inferred from a name."""

from __future__ import annotations

from dataclasses import dataclass

# Alphabetical, as in the thesis' app (and the eight-class HSEmotion networks it stems from).
EMOTIONS8 = ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
EMOTIONS7 = tuple(name for name in EMOTIONS8 if name != "contempt")
LABEL_SETS = {"ferplus8": EMOTIONS8, "fer7": EMOTIONS7}


@dataclass(frozen=True)
class LabelSet:
    """One of the label sets that a network answers in.

    Attributes:
        id: "ferplus8", "fer7", or "own" for labels of the user's.
        labels: names in output order.
        slice: first of its outputs, and the one after its last.
    """

    id: str
    labels: tuple[str, ...]
    slice: tuple[int, int]


def label_sets(ids: tuple[str, ...]) -> tuple[LabelSet, ...]:
    """The known label sets of these names as outputs of one network, one after the other."""
    sets: list[LabelSet] = []
    for name in ids:
        start = sets[-1].slice[1] if sets else 0
        sets.append(LabelSet(name, LABEL_SETS[name], (start, start + len(LABEL_SETS[name]))))
    return tuple(sets)
