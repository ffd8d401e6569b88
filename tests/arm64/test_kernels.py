"""ARM's kernels against this machine's on real faces: the accuracy measured here is the board's.

Bounds: benchmarks/results/arm_kernels.md, measured on 1,000 faces, with headroom.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from arm_roots import Root
from kernels import NPZ, Faces, Output, classify, difference, draw_faces

N_FACES = 500


@pytest.fixture(scope="module")
def faces(data: Path | None, bundle: Path) -> Faces:
    if data is None or not (data / NPZ).is_file():
        pytest.skip(f"no {NPZ} in FER_DATA or ../shared/data")
    return draw_faces(data / NPZ, bundle, N_FACES)


@pytest.mark.parametrize("variant", ["int8", "mixed"])
def test_int8_on_real_faces(bookworm: Root, bundle: Path, faces: Faces, variant: str) -> None:
    here = classify(faces.inputs, bundle, variant)
    arm = classify(faces.inputs, bundle, variant, bookworm)
    assert (here.machine, arm.machine) == ("x86_64", "aarch64")
    found = difference(here, arm, faces.labels)
    assert found.n == N_FACES
    assert abs(found.accuracy_arm - found.accuracy_here) <= 0.01, found
    assert found.clear_agreement == 1, found
    assert found.agreement >= 0.99, found
    assert found.dp_max <= 0.05, found


def test_reference_kernels_give_the_same_bits(root: Root, bundle: Path, faces: Faces) -> None:
    few = faces.inputs[:4]
    here = classify(few, bundle, "int8", reference=True)
    assert (here.raw == classify(few, bundle, "int8", root, reference=True).raw).all()


def test_a_difference_is_seen() -> None:
    """Other answers, lost accuracy and moved probabilities are counted, not averaged away."""
    sure = np.array([[0.9, 0.1], [0.2, 0.8], [0.52, 0.48], [0.1, 0.9]], dtype=np.float32)
    moved = np.array([[0.9, 0.1], [0.6, 0.4], [0.48, 0.52], [0.1, 0.9]], dtype=np.float32)
    labels = np.array([0, 1, 0, 1])
    found = difference(Output(sure, sure, "a", "r"), Output(moved, moved, "b", "r"), labels)
    assert (found.accuracy_here, found.accuracy_arm) == (1.0, 0.5)
    assert (found.agreement, found.n_clear, found.clear_agreement) == (0.5, 3, pytest.approx(2 / 3))
    assert found.dp_max == pytest.approx(0.4)
    assert found.n_same_bits == 2
