"""Each bound of a data set: as much as it says is taken, one more is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fer_edge.contract import bounds
from fer_host.data import fer2013
from fer_host.errors import DataError

FER = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
PLUS = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"]


def npz(path: Path, side: int, vote: np.generic | float = 10) -> Path:
    votes = np.zeros((2, 10), dtype=np.asarray(vote).dtype)
    votes[:, 1] = vote
    np.savez(
        path,
        images=np.random.default_rng(0).integers(0, 256, (2, side, side), dtype=np.uint8),
        fer_label=np.array([4, 4], dtype=np.int8),
        ferplus_votes=votes,
        usage=np.array(["PublicTest"] * 2),
        duplicates_training=np.zeros(2, dtype=bool),
        fer_classes=np.array(FER),
        ferplus_classes=np.array(PLUS),
    )
    return path


@pytest.mark.bound("TRAINING_SIDE_PX")
@pytest.mark.parametrize(
    "side", [bounds.TRAINING_SIDE_PX[0] - 1, *bounds.TRAINING_SIDE_PX, bounds.TRAINING_SIDE_PX[1] + 1]
)
def test_sides(tmp_path: Path, side: int) -> None:
    path = npz(tmp_path / "f.npz", side)
    if side in bounds.TRAINING_SIDE_PX:
        fer2013.load(path)
    else:
        with pytest.raises(DataError, match="expected 8 to 512 px"):
            fer2013.load(path)


@pytest.mark.bound("TRAINING_ARRAY_BYTES")
def test_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = npz(tmp_path / "f.npz", 48)
    monkeypatch.setattr(fer2013, "_LARGEST_BYTES", 2 * 48 * 48)
    fer2013.load(path)
    monkeypatch.setattr(fer2013, "_LARGEST_BYTES", 2 * 48 * 48 - 1)
    with pytest.raises(DataError, match="unpacked, expected at most"):
        fer2013.load(path)


@pytest.mark.bound("TRAINING_VOTES")
@pytest.mark.parametrize("vote", [0, 1_000_000, 1e6, np.float32(1e6)])
def test_votes(tmp_path: Path, vote: np.generic | float) -> None:
    assert fer2013.load(npz(tmp_path / "f.npz", 48, vote)).votes8.max() == vote


@pytest.mark.filterwarnings("error")
@pytest.mark.bound("TRAINING_VOTES")
@pytest.mark.parametrize("vote", [1_000_001, 1.1e6, 1e300, np.float16(-1), np.longdouble("1e400")])
def test_votes_beyond(tmp_path: Path, vote: np.generic | float) -> None:
    """In one line, and NumPy says nothing of its own."""
    path = npz(tmp_path / "f.npz", 48, vote)
    with pytest.raises(DataError, match=r"votes beyond 0 to 1000000") as refused:
        fer2013.load(path)
    assert "\n" not in str(refused.value)
