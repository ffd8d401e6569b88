"""A second opinion on doubtful finds: what fools the detector is left out and counted, faces stay."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.detectors import PHOTO_TILES, make_detector
from fer_edge.detectors.doubt import AGREE, SURE, DoubtingDetector, SecondOpinion, opinion_of
from fer_edge.pipeline import open_pipeline
from fer_edge.setting.setting import setting_for
from fer_edge.types import FaceBox, FaceDetector, Frame, RgbImage

MARKS = {"right_eye": (40.0, 40.0), "left_eye": (60.0, 40.0), "nose": (50.0, 52.0), "mouth": (50.0, 62.0)}


@pytest.fixture(scope="module")
def real_bundle() -> Bundle:
    path = Path(os.environ.get("FER_TEST_BUNDLE") or Path(__file__).parents[3] / "dist" / "hawqc_mbv2")
    if not path.is_dir():
        pytest.skip(f"no bundle at {path}: run `make convert MODEL=hawqc_mbv2` or set FER_TEST_BUNDLE")
    return open_bundle(path)


@pytest.fixture(scope="module")
def opinion(real_bundle: Bundle) -> SecondOpinion:
    maker = opinion_of(real_bundle.manifest, real_bundle.read, 1)
    assert maker is not None
    return maker()


def foolers() -> list[RgbImage]:
    """Smileys and color wheels, as people hold them into cameras."""
    pictures = []
    for seed in range(12):
        random = np.random.default_rng(seed)
        radius, middle = int(random.integers(80, 240)), (320, 240)
        color = tuple(int(v) for v in random.integers(60, 256, 3))
        smiley = cv2.circle(np.full((480, 640, 3), 200, dtype=np.uint8), middle, radius, color, -1)
        for side in (-1, 1):
            cv2.circle(smiley, (320 + side * radius // 3, 240 - radius // 4), radius // 9, (0, 0, 0), -1)
        cv2.ellipse(smiley, middle, (radius // 2, radius // 2), 0, 20, 160, (0, 0, 0), max(2, radius // 16))
        wheel = np.full((480, 640, 3), 255, dtype=np.uint8)
        for spoke in range(12):
            fill = tuple(int(v) for v in random.integers(0, 256, 3))
            cv2.ellipse(wheel, middle, (radius, radius), 0, spoke * 30, spoke * 30 + 30, fill, -1)
        pictures += [smiley, wheel]
    return pictures


def test_what_fools_the_detector_is_left_out_and_counted(real_bundle: Bundle) -> None:
    spec = real_bundle.manifest.find_detector("blazeface_short")
    plain = make_detector(spec, real_bundle.read, PHOTO_TILES)
    fooled = sum(len(plain.detect(picture)) for picture in foolers())
    assert fooled >= 3  # else this test says nothing
    pipeline = open_pipeline(real_bundle, setting_for(real_bundle.manifest, detector="blazeface_short"), PHOTO_TILES)
    readings = [pipeline.read_frame(Frame(picture, i, 0.0, "test")) for i, picture in enumerate(foolers())]
    assert [len(reading.faces) for reading in readings] == [0] * len(readings)
    assert sum(reading.left_out for reading in readings) == fooled
    assert sum(len(reading.all_faces) for reading in readings) == fooled  # a blurred picture hides it all the same
    said = [reading.to_doc(path="p").left_out for reading in readings]
    assert said == [reading.left_out or None for reading in readings]


def test_a_face_stays_however_it_is_turned_small_or_dark(
    real_bundle: Bundle, opinion: SecondOpinion, astronaut: RgbImage
) -> None:
    detector = make_detector(real_bundle.manifest.find_detector("blazeface_short"), real_bundle.read, PHOTO_TILES)
    rotated = cv2.warpAffine(astronaut, cv2.getRotationMatrix2D((224, 110), 30, 1.0), (512, 512))
    small = cv2.resize(astronaut, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
    for picture in (astronaut, rotated, small, (astronaut * 0.3).astype(np.uint8)):
        (face,) = detector.detect(np.asarray(picture, dtype=np.uint8))
        assert opinion(np.asarray(picture, dtype=np.uint8), face) >= 0.9


class Finds(FaceDetector):
    """Finds what it is told."""

    def __init__(self, *scores: float) -> None:
        self.faces = [FaceBox((30.0, 20.0, 40.0, 50.0), MARKS, score) for score in scores]

    def detect(self, image: RgbImage, near: Sequence[FaceBox] = ()) -> list[FaceBox]:
        return self.faces


def test_only_doubtful_finds_are_asked_about() -> None:
    asked: list[float] = []

    class Says(SecondOpinion):
        def __init__(self) -> None:
            pass

        def __call__(self, image: RgbImage, face: FaceBox) -> float:
            asked.append(face.score)
            return AGREE if face.score > 0.6 else AGREE - 0.01

    detector = DoubtingDetector(Finds(0.95, SURE, 0.7, 0.5), Says)
    blank = np.zeros((100, 100, 3), dtype=np.uint8)
    assert [face.score for face in detector.detect(blank)] == [0.95, SURE, 0.7]
    assert asked == [0.7, 0.5]
    assert detector.left_out == 1
    assert [face.score for face in detector.refused] == [0.5]


def test_without_the_networks_for_it_doubtful_finds_stay() -> None:
    detector = DoubtingDetector(Finds(0.5), None)
    assert len(detector.detect(np.zeros((100, 100, 3), dtype=np.uint8))) == 1
    assert detector.left_out == 0


@pytest.mark.parametrize("name", ["blazeface_short", "blazeface_full", "mtcnn"])
def test_a_least_score_for_each_detector(real_bundle: Bundle, astronaut: RgbImage, name: str) -> None:
    spec = real_bundle.manifest.find_detector(name)
    (face,) = make_detector(spec, real_bundle.read).detect(astronaut)
    assert len(make_detector(spec, real_bundle.read, min_score=face.score - 0.002).detect(astronaut)) == 1
    if face.score < 0.98:
        assert make_detector(spec, real_bundle.read, min_score=face.score + 0.01).detect(astronaut) == []


def test_the_flag_and_its_limits(
    edge: Callable[..., subprocess.CompletedProcess[str]], real_bundle: Bundle, photo_path: Callable[[str], Path]
) -> None:
    line = ("image", photo_path("astronaut.png"), "--bundle", real_bundle.path, "--json", "--min-score")
    (found,) = json.loads(edge(*line, "0.5").stdout)
    assert len(found["faces"]) == 1
    (none,) = json.loads(edge(*line, "0.99").stdout)
    assert none["faces"] == []
    for wrong in ("0", "1.5", "much", "nan"):
        done = edge(*line, wrong)
        assert done.returncode == 2
        assert "expected a score of 0.01 to 0.99" in done.stderr
