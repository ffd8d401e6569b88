import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.contract.align import crop_similarity, similarity
from fer_edge.contract.errors import LandmarkError
from fer_edge.contract.specs import AlignSpec

TEMPLATE = ((29.8, 37.6), (66.2, 37.6), (48.0, 57.6), (48.0, 74.9))
SPEC = AlignSpec(("right_eye", "left_eye", "nose", "mouth"), TEMPLATE, (96, 96))


def as_matrix(a: complex, b: complex) -> np.ndarray:
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


@given(st.floats(-3.1, 3.1), st.floats(0.05, 20), st.floats(-500, 2000), st.floats(-500, 2000))
def test_a_moved_template_is_brought_back(angle: float, scale: float, dx: float, dy: float) -> None:
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = np.array(TEMPLATE) @ rotation.T + [dx, dy]
    a, b = crop_similarity(dict(zip(SPEC.landmarks, map(tuple, moved), strict=True)), SPEC)
    matrix = as_matrix(a, b)
    back = moved @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(back, TEMPLATE, atol=1e-6)
    assert abs(a) == pytest.approx(1 / scale, rel=1e-9)


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=4, max_size=4))
def test_no_other_similarity_fits_better(points: list[tuple[float, float]]) -> None:
    source = np.array(points)
    try:
        matrix = as_matrix(*similarity([complex(x, y) for x, y in points], [complex(*at) for at in TEMPLATE]))
    except LandmarkError:
        return

    def cost(m: np.ndarray) -> float:
        return float(((source @ m[:, :2].T + m[:, 2] - TEMPLATE) ** 2).sum())

    best = cost(matrix)
    for da, db, dx, dy in np.random.default_rng(0).normal(0, 1e-3, (20, 4)):
        other = matrix + np.array([[da, -db, dx], [db, da, dy]])
        assert cost(other) >= best - 1e-6


@pytest.mark.parametrize(
    ("landmarks", "problem"),
    [
        ({}, "lacks right_eye"),
        ({"right_eye": (1.0, 2.0), "left_eye": (3.0, 2.0), "nose": (2.0, 3.0)}, "lacks mouth"),
        (dict.fromkeys(SPEC.landmarks, (5.0, 5.0)), "one point"),
        (dict.fromkeys(SPEC.landmarks, (float("nan"), 5.0)), "not finite"),
    ],
)
def test_landmarks_without_a_crop(landmarks: dict[str, tuple[float, float]], problem: str) -> None:
    with pytest.raises(LandmarkError, match=problem):
        crop_similarity(landmarks, SPEC)
