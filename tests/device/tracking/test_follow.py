"""Following by optical flow on a photo moved, turned and scaled by known amounts."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.tracking.follow import _POINTS, _SOURCE, _centers, _flow_of_all, appearance, follow, robust_similarity
from fer_edge.types import FaceBox, RgbImage

MARKS = {"right_eye": (204.0, 102.0), "left_eye": (246.0, 104.0), "nose": (224.0, 129.0), "mouth": (223.0, 149.0)}
FACE = FaceBox((180.0, 75.0, 90.0, 90.0), MARKS, 0.9)
EYES_PX = 42.0


def moved(image: RgbImage, a: complex, b: complex) -> RgbImage:
    """The picture under z -> a z + b, px centers at .5."""
    shift = b + (a - 1) * (0.5 + 0.5j)
    matrix = np.array([[a.real, -a.imag, shift.real], [a.imag, a.real, shift.imag]])
    return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def about_nose(scale: float, degrees: float, dx: float, dy: float) -> tuple[complex, complex]:
    a = scale * np.exp(1j * np.radians(degrees))
    nose = complex(*MARKS["nose"])
    return complex(a), complex(nose - a * nose + complex(dx, dy))


def error(face: FaceBox, a: complex, b: complex) -> float:
    """Largest distance of a landmark from the truth, in eye distances."""
    return max(abs(complex(*face.landmarks[n]) - (a * complex(*at) + b)) for n, at in MARKS.items()) / EYES_PX


@pytest.mark.parametrize(
    ("scale", "degrees", "dx", "dy"),
    [(1, 0, 0, 0), (1, 0, 0.7, -0.4), (1, 0, 8, 5), (1, 0, -10, 6), (1.1, 0, 0, 0), (0.92, 8, 4, 4), (1, -12, 0, 3)],
)
def test_a_known_motion(astronaut: RgbImage, scale: float, degrees: float, dx: float, dy: float) -> None:
    a, b = about_nose(scale, degrees, dx, dy)
    face = follow(moved(astronaut, a, b), appearance(astronaut, FACE), FACE)
    assert face is not None
    assert error(face, a, b) < 0.03
    middle = a * complex(225, 120) + b
    assert face.box[0] + face.box[2] / 2 == pytest.approx(middle.real, abs=1.3)
    assert face.box[2] == pytest.approx(90 * scale, rel=0.02)


def test_errors_do_not_add_up(astronaut: RgbImage) -> None:
    """Sixty small steps out and back, each guessed from the last."""
    seen, face = appearance(astronaut, FACE), FACE
    worst = 0.0
    for i in range(60):
        a, b = about_nose(1 + 0.1 * np.sin(i / 5), 10 * np.sin(i / 7), 25 * np.sin(i / 6), 15 * np.sin(i / 9))
        found = follow(moved(astronaut, a, b), seen, face)
        assert found is not None, i
        face, worst = found, max(worst, error(found, a, b))
    assert worst < 0.04


def test_a_large_face_is_read_at_every_second_pixel(astronaut: RgbImage) -> None:
    by = 4
    large = cv2.resize(astronaut[40:200, 140:310], None, fx=by, fy=by, interpolation=cv2.INTER_CUBIC)
    marks = {name: ((x - 140) * by, (y - 40) * by) for name, (x, y) in MARKS.items()}
    face = FaceBox((160.0, 140.0, 360.0, 360.0), marks, 0.9)
    found = follow(moved(large, 1, 20 - 12j), appearance(large, face), face)
    assert found is not None
    nose = found.landmarks["nose"]
    assert nose == pytest.approx((marks["nose"][0] + 20, marks["nose"][1] - 12), abs=0.03 * EYES_PX * by)


def test_another_picture_is_not_followed(astronaut: RgbImage) -> None:
    seen = appearance(astronaut, FACE)
    noise = np.random.default_rng(0).integers(0, 256, astronaut.shape, dtype=np.uint8)
    assert follow(noise, seen, FACE) is None
    assert follow(np.ascontiguousarray(astronaut[::-1]), seen, FACE) is None
    coincide = FaceBox(FACE.box, dict.fromkeys(MARKS, (9.0, 9.0)), 0.9)
    assert follow(astronaut, seen, coincide) is None
    outside = FaceBox(FACE.box, {name: (x + 5000, y) for name, (x, y) in MARKS.items()}, 0.9)
    assert follow(astronaut, seen, outside) is None


@settings(max_examples=60)
@given(
    st.floats(0.8, 1.25),
    st.floats(-30, 30),
    st.complex_numbers(max_magnitude=20),
    st.integers(0, 6),
    st.integers(0, 99),
)
def test_outliers_do_not_matter(scale: float, degrees: float, b: complex, n_bad: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    source = [complex(x, y) for x in (4, 18, 31, 44) for y in (4, 14, 24, 34, 44)]
    a = complex(scale * np.exp(1j * np.radians(degrees)))
    target = [a * z + b for z in source]
    for i in random.choice(len(source), n_bad, replace=False):
        target[i] += complex(*random.uniform(15, 40, 2))
    found = robust_similarity(source, target, [1] * len(source))
    if n_bad <= 2:
        assert found is not None
    if found is not None:  # many outliers on one side may be too many; what is said is right
        assert max(abs(found[0] * z + found[1] - (a * z + b)) for z in source) < 3


def test_too_few_points() -> None:
    source = [complex(i, i * i) for i in range(20)]
    assert robust_similarity(source, source, [1] * 9 + [0] * 11) is None
    assert robust_similarity([0j] * 20, source, [1] * 20) is None


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 3.0, 12.0]), st.booleans())
def test_the_quick_way_answers_as_the_robust_one(seed: int, outlier_px: float, one_lost: bool) -> None:
    rng = np.random.default_rng(seed)
    turn = complex(rng.normal(1, 0.1), rng.normal(0, 0.1))
    points = _POINTS[:, 0] @ np.array([[turn.real, turn.imag], [-turn.imag, turn.real]]) + rng.normal(0, 3, 2)
    found = (points + rng.normal(0, 0.1, points.shape)).astype(np.float32)[:, None]
    found[rng.integers(len(found)), 0, 0] += outlier_px * rng.choice([-1, 1])
    status = np.ones((len(found), 1), np.uint8)
    status[0, 0] = not one_lost
    robust = robust_similarity(_SOURCE, _centers(found), status[:, 0].tolist())
    quick = _flow_of_all(found, status)
    if one_lost or outlier_px > 2:
        assert quick is None
    elif robust is not None and quick is not None:
        assert quick == pytest.approx(robust, abs=1e-6)
    if outlier_px == 0 and not one_lost and 0.7 < abs(turn) < 1.4:
        assert quick is not None
