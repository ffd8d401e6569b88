"""FER2013 with FERPlus crowd votes, from one npz: images, votes, labels, splits.

Votes: Barsoum et al. 2016, arXiv 1608.01041 (microsoft/FERPlus). The npz's layout is in ``load``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.arrays import ArraySpec, read_arrays
from fer_edge.contract.bounds import TRAINING_ARRAY_BYTES as _LARGEST_BYTES
from fer_edge.contract.bounds import TRAINING_SIDE_PX as _SIDE_PX
from fer_edge.contract.bounds import TRAINING_VOTES
from fer_edge.contract.errors import SchemaError
from fer_edge.contract.labels import EMOTIONS7, EMOTIONS8
from fer_host.data.faces import FaceData, identical_groups
from fer_host.data.labels import LABEL_SYNONYMS
from fer_host.data.unread import free_bytes
from fer_host.errors import DataError

_ARRAYS = {  # n images of h x w px
    "images": ArraySpec("image", ("n", "h", "w")),
    "fer_label": ArraySpec("integer", ("n",)),
    "ferplus_votes": ArraySpec("number", ("n", "columns")),
    "usage": ArraySpec("text", ("n",)),
    "duplicates_training": ArraySpec("integer", ("n",)),
    "fer_classes": ArraySpec("text", (7,)),
    "ferplus_classes": ArraySpec("text", ("columns",)),
}
FerData = FaceData  # the name from before other sets were read


def load(path: Path) -> FerData:
    """Reads the npz.

    Raises:
        DataError: the file is absent, not an npz, or one of its arrays is missing or is not what it should be.
    """
    if not path.is_file():
        raise DataError(f"data set {path}: no such file; expected an npz with {', '.join(_ARRAYS)}")
    try:
        arrays = read_arrays(path, _ARRAYS, largest_bytes=min(_LARGEST_BYTES, free_bytes()))
    except OSError as error:
        raise DataError(f"data set {path}: cannot be read ({error.strerror})") from error
    except SchemaError as error:
        raise DataError(
            f"data set {path}: {error}; the arrays are described in host/fer_host/data/fer2013.py"
        ) from error
    plus_names = [str(name) for name in arrays["ferplus_classes"]]
    _check_values(path, arrays, plus_names)
    votes = arrays["ferplus_votes"].astype(np.float32)
    fer_names = [LABEL_SYNONYMS[str(name)] for name in arrays["fer_classes"]]
    to7 = np.array([EMOTIONS7.index(name) for name in fer_names] + [-1], dtype=np.int64)  # index -1 is the unknown
    groups = identical_groups(arrays["images"])
    return FerData(
        source="FER2013 with FERPlus votes (npz)",
        images=arrays["images"],
        votes8=votes[:, [plus_names.index(name) for name in EMOTIONS8]],
        label8=majority_label(votes, plus_names),
        majority8=agreed_label(votes, plus_names),
        label7=to7[arrays["fer_label"].astype(np.int64)],
        usage=arrays["usage"].astype(str),
        duplicate=arrays["duplicates_training"].astype(bool),
        sequence=groups,
        subject=groups,
    )


def _check_values(path: Path, arrays: dict[str, NDArray[Any]], plus_names: list[str]) -> None:
    """Refuses what shapes and kinds do not tell.

    Raises:
        DataError: names the array, what was found and what was expected.
    """
    images, labels, votes = arrays["images"], arrays["fer_label"], arrays["ferplus_votes"]
    sides, names = images.shape[1:], [str(name) for name in arrays["fer_classes"]]
    with np.errstate(over="ignore"):  # long doubles, and half floats that cannot hold the limit
        wide = votes.astype(np.float64)
        within = bool(((wide >= 0) & (wide <= TRAINING_VOTES)).all())
    unknown = [name for name in names if LABEL_SYNONYMS.get(name) not in EMOTIONS7]
    checks = (
        (len(images) > 0, "images", "found none, expected some"),
        (all(_SIDE_PX[0] <= side <= _SIDE_PX[1] for side in sides), "images", f"found {sides}, expected 8 to 512 px"),
        (((labels >= -1) & (labels < 7)).all(), "fer_label", "found labels beyond -1 to 6"),
        (within, "ferplus_votes", f"found votes beyond 0 to {TRAINING_VOTES}"),
        (not unknown, "fer_classes", f"found {', '.join(unknown)}, expected the seven emotions of FER2013"),
        (len({LABEL_SYNONYMS.get(name) for name in names}) == 7, "fer_classes", "found an emotion twice"),
        (set(EMOTIONS8) <= set(plus_names), "ferplus_classes", f"expected {', '.join(EMOTIONS8)}, unknown, NF"),
        (len(set(plus_names)) == len(plus_names), "ferplus_classes", "found a name twice"),
    )
    for holds, name, problem in checks:
        if not holds:
            raise DataError(f"data set {path}: {name}: {problem}")


def majority_label(votes: NDArray[np.float32], names: list[str]) -> NDArray[np.int64]:
    """The FERPlus "majority" label: argmax over all ten columns, the first column wins ties.

    Args:
        votes: (N, 10) votes, columns named by ``names`` (eight emotions, "unknown", "NF").

    Returns:
        (N,) index into ``EMOTIONS8``, -1 where "unknown" or "NF" wins.
    """
    to8 = np.array([EMOTIONS8.index(name) if name in EMOTIONS8 else -1 for name in names], dtype=np.int64)
    return np.asarray(to8[votes.argmax(axis=1)], dtype=np.int64)


def agreed_label(votes: NDArray[np.float32], names: list[str]) -> NDArray[np.int64]:
    """The label that most of the crowd agreed on: microsoft/FERPlus' rule "majority", which papers report on.

    Single votes are dropped; the winner must have more than half of what is left.

    Args:
        votes: (N, 10) votes, columns named by ``names`` (eight emotions, "unknown", "NF").

    Returns:
        (N,) index into ``EMOTIONS8``, -1 where nobody wins, or "unknown" or "NF" does.
    """
    kept = np.where(votes > 1, votes, 0.0)
    agreed = kept.max(axis=1) > 0.5 * kept.sum(axis=1)
    return np.where(agreed, majority_label(kept, names), -1)


def target_distribution(
    rows: FerData, labels: str, vote_share: float, label_share: float, fer7_share: float = 0.0
) -> NDArray[np.float32]:
    """(N, classes) targets: crowd votes, the label and FER2013's own, each by its share; rows sum to the shares' sum.

    For ``fer7`` votes for contempt are left out. A row without votes, or without FER2013's own label, gets its label in
    their place.

    Args:
        rows: all with a label of this set.
        labels: "ferplus8", "fer7" or "own", which has no votes.
        vote_share: of the votes.
        label_share: of the label.
        fer7_share: of FER2013's own label, one of seven.
    """
    names = rows.names(labels)
    hard = np.eye(len(names), dtype=np.float32)[rows.labels(labels)]
    if labels == "own":
        return np.asarray((vote_share + label_share + fer7_share) * hard, dtype=np.float32)
    votes = rows.votes8[:, [EMOTIONS8.index(name) for name in names]]
    soft = np.where(votes.sum(axis=1, keepdims=True) > 0, vote_distribution(votes), hard)
    label7 = rows.labels("fer7")
    seven = np.eye(len(names), dtype=np.float32)[[names.index(name) for name in EMOTIONS7]]
    own = np.where(label7[:, None] >= 0, seven[label7], hard)
    return np.asarray(vote_share * soft + label_share * hard + fer7_share * own, dtype=np.float32)


def vote_distribution(votes8: NDArray[np.float32]) -> NDArray[np.float32]:
    """Crowd votes (N, classes) as target distributions: single votes are noise and dropped, rows sum to 1.

    Rows with no emotion vote left fall back to all votes cast (FERPlus' own clean-up drops votes of one).
    """
    kept = np.where(votes8 > 1, votes8, 0.0)
    kept = np.where(kept.sum(axis=1, keepdims=True) > 0, kept, votes8)
    total = np.maximum(kept.sum(axis=1, keepdims=True), 1e-6)
    return np.asarray(kept / total, dtype=np.float32)
