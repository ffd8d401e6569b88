"""Corruptions for measuring: by a fixed amount, alike for gray and color, the same again with the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from fer_host.data.corruptions import corrupted, corruptions
from fer_host.recipe.recipe import load_recipe

ALL = corruptions(load_recipe("fer48").align)
FACES = [
    np.random.default_rng(i).integers(40, 200, (12, 12), dtype=np.uint8).repeat(4, 0).repeat(4, 1) for i in range(4)
]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("color", [False, True])
def test_every_one_changes_a_face_and_repeats(name: str, color: bool) -> None:
    faces = [np.repeat(face[:, :, None], 3, axis=2) if color else face for face in FACES]
    before = [face.copy() for face in faces]
    found, again = (corrupted(name, ALL[name], faces, 1) for _ in range(2))
    for face, old, new, same in zip(faces, before, found, again, strict=True):
        np.testing.assert_array_equal(face, old)
        np.testing.assert_array_equal(new, same)
        assert new.dtype == np.uint8
        assert new.shape[:2] == face.shape[:2]
        shown = new if new.ndim == face.ndim else new[:, :, 0]
        assert (shown != face).any()


def test_draws_are_of_the_face_and_the_seed() -> None:
    name = "noise (20 of 255)"
    alone, first = corrupted(name, ALL[name], FACES[:1], 1)[0], corrupted(name, ALL[name], FACES, 1)[0]
    np.testing.assert_array_equal(alone, first)
    assert (corrupted(name, ALL[name], FACES[:1], 2)[0] != alone).any()


@pytest.mark.parametrize(
    ("name", "expected"), [("brightness x0.1", 10), ("brightness x2.2", 220), ("haze (0.25 v + 150)", 175)]
)
def test_light_by_its_formula(name: str, expected: int) -> None:
    (found,) = corrupted(name, ALL[name], [np.full((48, 48), 100, dtype=np.uint8)], 1)
    assert (found == expected).all()


def test_a_turn_is_as_large_as_it_says() -> None:
    face = np.zeros((48, 48), dtype=np.uint8)
    face[8, 22:26] = 255  # above the middle
    angles = set()
    for seed in range(8):
        (found,) = corrupted("turned by 30° either way", ALL["turned by 30° either way"], [face], seed)
        y, x = np.argwhere(found > 100).mean(axis=0)
        angles.add(round(float(np.degrees(np.arctan2(x - 23.5, 23.5 - y))) / 5) * 5)
    assert angles == {-30, 30}


def test_lengths_grow_with_the_picture() -> None:
    edge = np.zeros((48, 48), dtype=np.uint8)
    edge[:, 24:] = 200
    name = "defocus, sigma 1.5 px of 48"
    small, large = (corrupted(name, ALL[name], [edge.repeat(k, 0).repeat(k, 1)], 1)[0] for k in (1, 4))
    widths = [((face[face.shape[0] // 2] > 20) & (face[face.shape[0] // 2] < 180)).sum() for face in (small, large)]
    assert 3 <= widths[1] / widths[0] <= 5
