"""Which face is which, and when to detect: tables, scripted sequences and properties. No network, no picture."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.tracking.track import (
    Pace,
    Track,
    TrackSettings,
    drift_between,
    iou,
    is_due,
    is_large_enough,
    is_search_due,
    match,
    moved_to,
    next_pace,
    predicted,
)
from fer_edge.types import FaceBox

SETTINGS = TrackSettings()
LOST = float("inf")


def face(x: float, y: float, side: float = 40.0) -> FaceBox:
    marks = {"right_eye": (x + 10, y + 15), "left_eye": (x + 30, y + 15), "nose": (x + 20, y + 25)}
    return FaceBox((x, y, side, side), marks, 0.9)


def test_iou() -> None:
    assert iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert iou((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert iou((0, 0, 10, 10), (10, 0, 10, 10)) == 0
    assert iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0


boxes = st.tuples(*[st.floats(-500, 500)] * 2, *[st.floats(0, 300)] * 2)


@given(boxes, boxes)
def test_iou_is_symmetric_and_a_share(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    assert iou(a, b) == pytest.approx(iou(b, a), abs=1e-9)  # type: ignore[arg-type]
    assert 0 <= iou(a, b) <= 1 + 1e-9  # type: ignore[arg-type]


def test_match_takes_the_best_overlap_first() -> None:
    expected = [(0.0, 0.0, 10.0, 10.0), (4.0, 0.0, 10.0, 10.0)]
    found = [(4.0, 0.0, 10.0, 10.0), (50.0, 0.0, 10.0, 10.0)]
    assert match(expected, found, 0.3) == [(1, 0)]  # the first also overlaps it, but less
    assert match(expected, [], 0.3) == []


@given(st.lists(boxes, max_size=6), st.lists(boxes, max_size=6), st.floats(0, 1))
def test_match_uses_each_once(a: list, b: list, least: float) -> None:
    pairs = match(a, b, least)
    for side in zip(*pairs, strict=True):
        assert len(set(side)) == len(side)
    assert all(iou(a[i], b[j]) >= least for i, j in pairs)


def test_constant_velocity() -> None:
    track = Track(1, face(0, 0), 0.0, 0.0)
    for i in range(1, 6):
        track = moved_to(track, face(10.0 * i, 0), i / 10, seen=True)
    assert track.speed == pytest.approx((100, 0), abs=4)
    assert predicted(track, 0.6).box[0] == pytest.approx(60, abs=1)
    assert predicted(track, 0.6).landmarks["nose"][0] == pytest.approx(80, abs=1)
    assert predicted(track, 100.0).box[0] == 50 + 20  # at most half its box
    assert predicted(track, 0.1).box[0] == 50  # a clock that jumped back


def test_a_face_that_passes_another_keeps_its_number() -> None:
    """Two faces cross with 30 px a frame: by the last box alone they would be exchanged, by the prediction not."""
    left, right = Track(1, face(0, 0), 0.0, 0.0, (300, 0)), Track(2, face(90, 8), 0.0, 0.0, (-300, 0))
    for i in range(1, 4):
        t_s = i / 10
        found = [face(90 - 30.0 * i, 8), face(30.0 * i, 0)]
        pairs = dict(match([predicted(t, t_s).box for t in (left, right)], [f.box for f in found], 0.3))
        assert pairs == {0: 1, 1: 0}
        left, right = (moved_to(t, found[pairs[k]], t_s, seen=True) for k, t in enumerate((left, right)))
    assert left.face.box[0] == 90


@pytest.mark.parametrize(
    ("pace", "t_s", "any_track", "due"),
    [
        (Pace(), 0.0, False, True),
        (Pace(5, 0, 1.0), 1.1, True, False),
        (Pace(5, 3, 1.0), 1.1, True, False),
        (Pace(5, 4, 1.0), 1.1, True, True),
        (Pace(5, 0, 1.0), 1.1, False, True),  # nobody to follow
        (Pace(10, 0, 1.0), 2.0, True, True),  # a slow source: at least once a second
        (Pace(10, 0, 1.0), 0.5, True, True),  # a clock that jumped back
    ],
)
def test_when_the_detector_is_due(pace: Pace, t_s: float, any_track: bool, due: bool) -> None:
    assert is_due(pace, t_s, any_track, SETTINGS) is due


def paces(drifts: list[float], load: float = 0.0, start: Pace | None = None) -> list[int]:
    pace, found = start or Pace(), []
    for i, drift in enumerate(drifts):
        pace = next_pace(pace, float(i), drift, load, SETTINGS)
        found.append(pace.every)
    return found


def test_the_pace_follows_motion() -> None:
    assert paces([0.01] * 6) == [2, 3, 4, 6, 9, 10]  # still: seldom
    assert paces([0.5, 0.5, 0.5, 0.5], start=Pace(10)) == [5, 2, 1, 1]  # moving: often
    assert paces([0.1] * 3, start=Pace(4)) == [4, 4, 4]
    assert paces([LOST], start=Pace(10)) == [5]


def test_load_makes_detections_rarer() -> None:
    assert paces([0.5] * 4, load=1.0) == [2, 3, 4, 5]  # though the face moves
    assert paces([0.5] * 20, load=1.0)[-1] == SETTINGS.detect_every


@given(st.lists(st.floats(0, 5) | st.just(LOST), max_size=40), st.floats(0, 2), st.integers(1, 30))
def test_the_pace_stays_within_its_limits(drifts: list[float], load: float, most: int) -> None:
    settings, pace = replace(SETTINGS, detect_every=most), Pace()
    for i, drift in enumerate(drifts):
        pace = next_pace(pace, float(i), drift, load, settings)
        assert 1 <= pace.every <= most
        assert (pace.since, pace.last_s) == (0, float(i))


def test_drift_is_in_eye_distances() -> None:
    assert drift_between(face(0, 0), face(0, 0)) == 0
    assert drift_between(face(5, 0), face(0, 0)) == pytest.approx(0.25)  # eyes are 20 px apart
    same = FaceBox((0, 0, 9, 9), {"right_eye": (1, 1), "left_eye": (1, 1)}, 0.5)
    assert drift_between(same, same) == LOST


def test_small_faces() -> None:
    assert is_large_enough(face(0, 0, 24), 24)
    assert not is_large_enough(face(0, 0, 23.9), 24)


def test_a_detector_looks_everywhere_at_least_five_times_a_second() -> None:
    table = ((float("-inf"), 0.0, True), (1.0, 1.0, False), (1.0, 1.19, False), (1.0, 1.21, True), (5.0, 4.9, True))
    for searched_s, t_s, due in table:
        assert is_search_due(searched_s, t_s) is due, (searched_s, t_s)
