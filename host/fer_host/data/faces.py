"""What every data set becomes: rows of labels, splits and groups, with pixels (``FaceData``) or files (``FaceFiles``).

Readers list files without opening them, so that a split can be chosen before anything is decoded.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.labels import EMOTIONS7, EMOTIONS8, LABEL_SETS
from fer_host.data.streamed import Images, Streamed, some
from fer_host.files.artifacts import sha256_bytes

TRAINING, TEST, ALL = "Training", "Test", "All"  # ALL: the set is published without a split
Rows = TypeVar("Rows", bound="FaceRows")


@dataclass(frozen=True, kw_only=True)
class FaceRows:
    """All of a data set but its pictures.

    Attributes:
        source: the layout that was recognized, in words.
        label8: (N,) int64 index into ``EMOTIONS8``; -1 where the row has no label among them.
        label7: (N,) int64 index into ``EMOTIONS7``; -1 likewise.
        usage: (N,) str, the split; "All" where none is published.
        votes8: (N, 8) float32 crowd votes in the order of ``EMOTIONS8``; zeros where nobody voted.
        majority8: (N,) int64 label that more than half of the crowd agreed on, see ``fer2013.agreed_label``; -1 where
            there is none, None for sets without votes.
        duplicate: (N,) bool, pixel-identical to a Training image.
        sequence: (N,) str; rows of one sequence (near-identical frames, or identical images) share it.
        subject: (N,) str; rows of one person share it. The sequence where persons are not known.
        own: (N,) int64 index into ``own_names``, which are labels of the user's own; -1 where the row has none.
        own_names: see there, in output order.
    """

    source: str
    label8: NDArray[np.int64]
    label7: NDArray[np.int64]
    usage: NDArray[np.str_]
    votes8: NDArray[np.float32]
    duplicate: NDArray[np.bool_]
    sequence: NDArray[np.str_]
    subject: NDArray[np.str_]
    majority8: NDArray[np.int64] | None = None
    own: NDArray[np.int64] | None = None
    own_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.usage)

    def labels(self, name: str) -> NDArray[np.int64]:
        """(N,) labels in the order of the label set "ferplus8", "fer7" or "own", or by "ferplus8_majority"."""
        if name == "own":
            return self.own if self.own is not None else np.full(len(self), -1, dtype=np.int64)
        if name == "ferplus8_majority":
            return self.majority8 if self.majority8 is not None else np.full(len(self), -1, dtype=np.int64)
        return self.label8 if name == "ferplus8" else self.label7

    def names(self, labels: str) -> tuple[str, ...]:
        """The label set's names in order."""
        return self.own_names if labels == "own" else LABEL_SETS[labels]

    @property
    def persons_known(self) -> bool:
        """Whether ``subject`` tells persons apart, and not only sequences or identical images."""
        return bool((self.subject != self.sequence).any())

    def select(self: Rows, mask: NDArray[np.bool_] | NDArray[np.int64]) -> Rows:
        """The rows where ``mask`` (N,) holds, or those with these indices; all of them are not copied."""
        if mask.dtype == np.bool_ and mask.all():
            return self
        columns = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        arrays = {k: value for k, value in columns.items() if isinstance(value, np.ndarray | Streamed)}
        chosen: dict[str, Any] = {k: some(value, mask) for k, value in arrays.items()}
        return dataclasses.replace(self, **chosen)


@dataclass(frozen=True, kw_only=True)
class FaceData(FaceRows):
    """Rows with their pixels; ``images`` is (N, h, w) uint8 gray, or (N, h, w, 3) RGB: an array, or ``Streamed``."""

    images: Images


def columns_of(
    names: Sequence[str | None],
    usage: Sequence[str],
    sequence: Sequence[str] | None = None,
    subject: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The fields of ``FaceRows`` but ``source`` from plain lists, for sets without votes.

    Args:
        names: of the emotion, as in ``EMOTIONS8``; None where there is no label.
        usage: split.
        sequence: None makes every row one of its own.
        subject: None takes the sequences.
    """
    n = len(names)
    alone = sequence if sequence is not None else [str(i) for i in range(n)]
    return {
        "label8": np.array([EMOTIONS8.index(x) if x in EMOTIONS8 else -1 for x in names], dtype=np.int64),
        "label7": np.array([EMOTIONS7.index(x) if x in EMOTIONS7 else -1 for x in names], dtype=np.int64),
        "usage": np.array(usage, dtype=str),
        "votes8": np.zeros((n, len(EMOTIONS8)), dtype=np.float32),
        "duplicate": np.zeros(n, dtype=bool),
        "sequence": np.array(alone, dtype=str),
        "subject": np.array(subject if subject is not None else alone, dtype=str),
    }


def identical_groups(images: Images) -> NDArray[np.str_]:
    """(N,) str, the same for pixel-identical images: the first one's row. See ``Streamed.groups`` for those."""
    if isinstance(images, Streamed):
        return images.groups()
    first: dict[str, int] = {}
    return np.array([str(first.setdefault(sha256_bytes(image.tobytes()), i)) for i, image in enumerate(images)])


def duplicates(groups: NDArray[np.str_], usage: NDArray[np.str_]) -> NDArray[np.bool_]:
    """(N,) bool: rows outside Training whose pixels a Training row has too, by their ``identical_groups``."""
    return np.asarray((usage != TRAINING) & np.isin(groups, groups[usage == TRAINING]), dtype=bool)


def describe(rows: FaceRows) -> str:
    """One line for the terminal: what a path was taken for, rows by split, labels that occur."""
    splits = ", ".join(f"{split} {n}" for split, n in Counter(rows.usage.tolist()).items())
    known = np.maximum(rows.label8, -1)
    names = (
        list(rows.own_names)
        or [EMOTIONS8[i] for i in np.unique(known[known >= 0])]
        or [EMOTIONS7[i] for i in np.unique(rows.label7[rows.label7 >= 0])]
    )
    return f"{rows.source}: {len(rows)} images ({splits}); labels {', '.join(names) or 'none'}"


def unlabelled(rows: FaceRows, labels: str) -> str | None:
    """One line on rows that have no label of a label set, and on labels of it that no row has; None: neither."""
    missing = rows.labels(labels) < 0
    expected = rows.names(labels)
    others = Counter(EMOTIONS8[i] for i in rows.label8[missing] if i >= 0 and EMOTIONS8[i] not in expected)
    found = set(rows.labels(labels).tolist())
    untrained = [name for i, name in enumerate(expected) if i not in found]
    parts = []
    if missing.any():
        named = f" ({', '.join(f'{n} {name}' for name, n in others.items())})" if others else ""
        parts.append(f"{missing.sum()} of {len(rows)} images have no label of {labels}{named} and are left out")
    if untrained:
        parts.append(f"no image is labelled {' or '.join(untrained)}: such outputs stay untrained")
    return "; ".join(parts) or None
