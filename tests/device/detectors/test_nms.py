"""Merging candidates, and anchors: properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.detectors.blazeface import FULL, SHORT, anchor_centers, sigmoid
from fer_edge.detectors.nms import Candidates, concatenate, overlap, weighted_nms


def candidates(rows: list[tuple[float, float, float, float]]) -> Candidates:
    """From (x, y, side, score); one landmark, the center."""
    points = [[(x, y), (x + s, y + s), (x + s / 2, y + s / 2)] for x, y, s, _ in rows]
    return Candidates(
        np.array(points, dtype=np.float32).reshape(-1, 3, 2), np.array([row[3] for row in rows], dtype=np.float32)
    )


rows = st.lists(
    st.tuples(st.floats(0, 500), st.floats(0, 500), st.floats(1, 200), st.floats(0.01, 1)), min_size=0, max_size=25
)


@given(rows, st.floats(0.05, 0.95))
def test_nms_properties(found: list[tuple[float, float, float, float]], iou: float) -> None:
    before = candidates(found)
    after = weighted_nms(before, iou)
    assert len(after) <= len(before)
    assert bool(len(after)) == bool(len(before))
    assert list(after.scores) == sorted(after.scores, reverse=True)
    if len(before):
        assert after.scores[0] == before.scores.max()
        assert set(after.scores) <= set(before.scores)
        low, high = before.points.min(axis=(0, 1)) - 1e-3, before.points.max(axis=(0, 1)) + 1e-3
        assert (after.points >= low).all()  # a mean lies within what it is the mean of
        assert (after.points <= high).all()


@given(rows, st.randoms(use_true_random=False))
def test_nms_does_not_depend_on_the_order(found: list[tuple[float, float, float, float]], shuffle: object) -> None:
    found = [(x, y, s, i / 100 + 0.01) for i, (x, y, s, _) in enumerate(found)]  # no two scores alike
    mixed = list(found)
    shuffle.shuffle(mixed)  # type: ignore[attr-defined]
    a, b = weighted_nms(candidates(found), 0.3), weighted_nms(candidates(mixed), 0.3)
    np.testing.assert_allclose(a.points, b.points, rtol=1e-4, atol=1e-3)


def test_merging_is_weighted_by_score_and_keeps_the_best_score() -> None:
    merged = weighted_nms(candidates([(0, 0, 10, 0.9), (1, 0, 10, 0.3), (100, 0, 10, 0.5)]), 0.3)
    assert len(merged) == 2
    np.testing.assert_allclose(merged.boxes[0], [0.25, 0, 10.25, 10], atol=1e-5)
    np.testing.assert_allclose(merged.scores, [0.9, 0.5])


def test_a_part_of_a_face_is_dropped_not_merged() -> None:
    found = candidates([(0, 0, 100, 0.9), (10, 10, 20, 0.8)])
    assert len(weighted_nms(found, 0.3)) == 2
    merged = weighted_nms(found, 0.3, contained=0.6)
    np.testing.assert_allclose(merged.boxes, [[0, 0, 100, 100]])


def test_a_box_without_area_ends_too() -> None:
    flat = Candidates(np.zeros((3, 8, 2), dtype=np.float32), np.full(3, 0.5, dtype=np.float32))
    assert 1 <= len(weighted_nms(flat, 0.3)) <= 3


def test_overlap_by_hand() -> None:
    box = np.array([0, 0, 10, 10], dtype=np.float32)
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [2, 2, 4, 4], [20, 20, 30, 30]], dtype=np.float32)
    iou, inside = overlap(box, others)
    np.testing.assert_allclose(iou, [1, 1 / 3, 0.04, 0], atol=1e-6)
    np.testing.assert_allclose(inside, [1, 0.5, 1, 0], atol=1e-6)


def test_concatenate_with_empty_parts() -> None:
    both = concatenate([candidates([]), candidates([(0, 0, 1, 0.5)]), candidates([])])
    assert len(both) == 1


def test_anchors() -> None:
    anchors = anchor_centers()
    assert anchors.shape == (896, 2)
    np.testing.assert_allclose(anchors[:4], [[4, 4], [4, 4], [12, 4], [12, 4]])  # two at each of 16 x 16 places
    np.testing.assert_allclose(anchors[512:519, 0], [8] * 6 + [24])  # then six at each of 8 x 8
    assert anchors.min() > 0
    assert anchors.max() < SHORT.input_px
    np.testing.assert_allclose(anchors.mean(axis=0), SHORT.input_px / 2)
    assert sum((SHORT.input_px // stride) ** 2 * repeats for stride, repeats in SHORT.strides) == 896


def test_full_range_has_one_anchor_a_place() -> None:
    anchors = anchor_centers(FULL)
    assert anchors.shape == (2304, 2)
    np.testing.assert_allclose(anchors[:2], [[2, 2], [6, 2]])
    np.testing.assert_allclose(anchors[48], [2, 6])
    np.testing.assert_allclose(anchors.mean(axis=0), 96)


@pytest.mark.filterwarnings("error")
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
def test_sigmoid_never_overflows(logits: list[float]) -> None:
    scores = sigmoid(np.array(logits, dtype=np.float32))
    assert ((scores >= 0) & (scores <= 1)).all()
    assert sigmoid(np.zeros(1, dtype=np.float32))[0] == 0.5
