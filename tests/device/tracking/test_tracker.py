"""Tracking through the real detector, classifier and optical flow: drawn faces, and a photo that moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from fer_edge.contract.bundle import Bundle
from fer_edge.pipeline import Pipeline, open_pipeline
from fer_edge.tracking.track import TrackSettings
from fer_edge.tracking.tracker import Tracker
from fer_edge.types import FaceBox, FaceDetector, Frame, FrameReading, RgbImage

LABELS = ("a", "b")


class Counted(FaceDetector):
    """The real detector; counts its calls and can be made blind."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.detector, self.calls, self.blind = pipeline.detector, 0, False
        pipeline.detector = self

    def detect(self, image: RgbImage, near: Sequence[FaceBox] = ()) -> list[FaceBox]:
        self.calls += 1
        return [] if self.blind else self.detector.detect(image, near)


def panned(astronaut: RgbImage, n: int, dx: float = 2.0) -> list[RgbImage]:
    """The photo moving to the right, ``dx`` px a frame."""
    base = np.ascontiguousarray(astronaut[0:300, 60:420])
    moves = [np.array([[1, 0, dx * i], [0, 1, 0.0]]) for i in range(n)]
    return [cv2.warpAffine(base, m, (360, 300), borderMode=cv2.BORDER_REPLICATE) for m in moves]


def frames(images: Sequence[RgbImage], fps: float = 25.0, start_s: float = 0.0) -> list[Frame]:
    return [Frame(image, i, start_s + i / fps, "test") for i, image in enumerate(images)]


def read(bundle: Bundle, images: Sequence[RgbImage], settings: TrackSettings) -> tuple[list[FrameReading], Counted]:
    pipeline = open_pipeline(bundle, tracking=settings)
    detector = Counted(pipeline)
    return [pipeline.read_frame(frame) for frame in frames(images)], detector


def test_a_moving_face_keeps_its_number_and_is_seldom_searched(bundle: Bundle, astronaut: RgbImage) -> None:
    images = panned(astronaut, 30)
    readings, detector = read(bundle, images, TrackSettings())
    assert [[face.track for face in reading.faces] for reading in readings] == [[1]] * 30
    assert detector.calls <= 12  # of 30 frames
    assert sum("detect" in reading.stage_ms for reading in readings) == detector.calls
    every, _ = read(bundle, images, TrackSettings(detect_every=1))
    for followed, detected in zip(readings, every, strict=True):
        a, b = followed.faces[0].face, detected.faces[0].face
        eyes = np.hypot(*np.subtract(b.landmarks["right_eye"], b.landmarks["left_eye"]))
        for name, at in b.landmarks.items():
            assert np.hypot(*np.subtract(a.landmarks[name], at)) < 0.25 * eyes, (followed.frame.index, name)


def test_detecting_on_every_frame(bundle: Bundle, astronaut: RgbImage) -> None:
    readings, detector = read(bundle, panned(astronaut, 5), TrackSettings(detect_every=1))
    assert detector.calls == 5
    assert {face.track for reading in readings for face in reading.faces} == {1}


def test_not_enabled_is_a_photo_a_frame(bundle: Bundle, astronaut: RgbImage) -> None:
    readings, detector = read(bundle, panned(astronaut, 3), TrackSettings(enabled=False))
    assert detector.calls == 3
    assert all(face.track is None and face.uncertain is None for r in readings for face in r.faces)


def test_a_cut_to_another_picture_is_noticed_at_once(bundle: Bundle, astronaut: RgbImage, drawn: RgbImage) -> None:
    still = [np.ascontiguousarray(astronaut[0:300, 60:420])] * 12
    readings, detector = read(bundle, [*still, *[drawn] * 3], TrackSettings())
    before, after = readings[11].faces, readings[12].faces
    assert [face.track for face in before] == [1]
    assert [face.track for face in after] == [2]
    assert "detect" in readings[12].stage_ms  # though it was not due
    assert detector.calls < 15


def test_a_face_that_the_detector_misses_is_followed_for_a_while(bundle: Bundle, astronaut: RgbImage) -> None:
    pipeline = open_pipeline(bundle, tracking=TrackSettings(lost_s=0.4))
    detector = Counted(pipeline)
    image = np.ascontiguousarray(astronaut[0:300, 60:420])
    seen = [len(pipeline.read_frame(frame).faces) for frame in frames([image] * 10)]
    detector.blind = True
    blind = [len(pipeline.read_frame(frame).faces) for frame in frames([image] * 25, start_s=0.4)]
    assert seen == [1] * 10
    assert blind[:5] == [1] * 5
    assert blind[-1] == 0
    gone_s = blind.index(0) / 25
    assert 0.2 <= gone_s <= 0.85  # 0.4 s after it was last seen, at the next detection


def test_nobody_is_searched_for_on_every_frame(bundle: Bundle) -> None:
    _, detector = read(bundle, [np.full((200, 200, 3), 90, dtype=np.uint8)] * 4, TrackSettings())
    assert detector.calls == 4


def test_small_faces_are_left_out(bundle: Bundle, astronaut: RgbImage) -> None:
    images = panned(astronaut, 3)
    width = read(bundle, images, TrackSettings())[0][0].faces[0].face.box[2]
    too_small = read(bundle, images, TrackSettings(min_face_px=width * 1.5))[0]
    assert not any(reading.faces for reading in too_small)
    assert all(len(reading.all_faces) == 1 for reading in too_small)  # a blurred picture hides it all the same
    assert read(bundle, images, TrackSettings(min_face_px=width * 0.7))[0][0].faces


FACE = FaceBox((10, 10, 80, 80), {"right_eye": (30, 40), "left_eye": (70, 40), "nose": (50, 60), "mouth": (50, 75)}, 1)


def scripted(tracker: Tracker, rows: Sequence[tuple[float, Sequence[float]]], image: RgbImage) -> list[FrameReading]:
    """One face, with the probabilities that a script says, at the times it says."""
    found = []
    for i, (t_s, probabilities) in enumerate(rows):
        frame = Frame(image, i, t_s, "script")
        if tracker.follow(frame):
            tracker.correct(frame, [FACE])
        found.append(
            FrameReading(frame, tracker.readings(frame, LABELS, lambda faces, p=probabilities: [list(p)] * len(faces)))
        )
    return found


def test_labels_are_calm_and_flat_ones_uncertain(astronaut: RgbImage) -> None:
    flicker = [(i / 25, (0.9, 0.1) if i % 5 else (0.1, 0.9)) for i in range(1, 50)]
    tracker = Tracker(TrackSettings(uncertain_below=0.6))
    readings = scripted(tracker, flicker, astronaut)
    assert {reading.faces[0].label for reading in readings} == {"a"}
    assert not readings[-1].faces[0].uncertain
    flat = scripted(tracker, [(2 + i / 25, (0.5, 0.5)) for i in range(50)], astronaut)
    assert flat[-1].faces[0].uncertain
    assert flat[-1].faces[0].probabilities == pytest.approx({"a": 0.5, "b": 0.5}, abs=0.01)


def test_numbers_are_not_given_again(astronaut: RgbImage) -> None:
    tracker = Tracker()
    first = scripted(tracker, [(0.0, (1, 0))], astronaut)[0].faces[0].track
    tracker.reset()
    assert scripted(tracker, [(0.1, (1, 0))], astronaut)[0].faces[0].track == 2
    assert first == 1


def test_load_is_the_share_of_the_time_between_frames(astronaut: RgbImage) -> None:
    """A tracker that is told of slow frames detects less often than one of quick ones, if frames can be late."""
    calls = {}
    for name, seconds, can_be_late in (("quick", 0.001, True), ("slow", 0.06, True), ("file", 0.06, False)):
        tracker = Tracker(TrackSettings(drift=0.0, detect_every=8))  # every drift is too large
        calls[name] = 0
        jitter = np.random.default_rng(0).uniform(-2, 2, 60)
        for i, by in enumerate(jitter):
            frame = Frame(astronaut, i, i / 25, "script", can_be_late=can_be_late)
            marks = {mark: (x + by, y) for mark, (x, y) in FACE.landmarks.items()}
            if tracker.follow(frame):
                calls[name] += 1
                tracker.correct(frame, [replace(FACE, landmarks=marks)])
            tracker.took(frame, seconds)
    assert calls["quick"] > 55
    assert calls["slow"] < 30
    assert calls["file"] == calls["quick"]


def test_readings_carry_track_and_uncertain_into_the_document(bundle: Bundle, astronaut: RgbImage) -> None:
    readings, _ = read(bundle, panned(astronaut, 2), TrackSettings())
    document = readings[1].to_doc()
    assert (document.faces[0].track, document.faces[0].uncertain) == (1, readings[1].faces[0].uncertain)
    assert document.faces[0].uncertain is not None


def test_a_new_face_is_seen_a_fifth_of_a_second_late_at_most(bundle: Bundle, astronaut: RgbImage) -> None:
    """Though the detector, between two searches, looks only where it knows a face."""
    alone = np.zeros((300, 800, 3), dtype=np.uint8)
    alone[:, :360] = astronaut[0:300, 60:420]
    both = alone.copy()
    both[:, 440:] = astronaut[0:300, 60:420]
    for n_alone in (4, 5, 6):
        images = [alone] * n_alone + [both] * 8
        readings, _ = read(bundle, images, TrackSettings(detect_every=1))
        counts = [len(reading.faces) for reading in readings]
        assert counts[:n_alone] == [1] * n_alone
        assert 2 in counts[n_alone : n_alone + 5], counts  # 25 frames a second
        assert counts[-3:] == [2] * 3
