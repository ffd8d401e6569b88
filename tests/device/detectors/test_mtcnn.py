"""MTCNN: its arithmetic by tables, the cascade on real photos with the shipped bundle's networks."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from device_helpers import DATA
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.contract import bounds
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.detectors import make_detector
from fer_edge.detectors import mtcnn as module
from fer_edge.detectors.mtcnn import Mtcnn
from fer_edge.detectors.pyramid import (
    best_of,
    boxes_from_map,
    moved,
    probabilities,
    pyramid_scales,
    squared,
    suppress,
)
from fer_edge.errors import BundleError, RunnerError
from fer_edge.types import RgbImage


@pytest.fixture(scope="module")
def real_bundle() -> Bundle:
    path = Path(os.environ.get("FER_TEST_BUNDLE") or Path(__file__).parents[3] / "dist" / "hawqc_mbv2")
    if not path.is_dir():
        pytest.skip(f"no bundle at {path}: run `make convert MODEL=hawqc_mbv2` or set FER_TEST_BUNDLE")
    return open_bundle(path)


@pytest.fixture(scope="module")
def models(real_bundle: Bundle) -> list[bytes]:
    return [real_bundle.read(role) for role in real_bundle.manifest.find_detector("mtcnn").files]


@pytest.fixture(scope="module")
def thresholds(real_bundle: Bundle) -> dict[str, float]:
    return real_bundle.manifest.find_detector("mtcnn").thresholds


@pytest.fixture(scope="module")
def mtcnn(models: list[bytes], thresholds: dict[str, float]) -> Mtcnn:
    return Mtcnn(models, thresholds)


def test_the_pyramid_of_a_vga_picture() -> None:
    scales = pyramid_scales(480, 640, 20, 0.709)
    assert scales[:2] == [0.6, pytest.approx(0.6 * 0.709)]
    assert 480 * scales[-1] >= 12 > 480 * scales[-1] * 0.709
    assert pyramid_scales(19, 640, 20, 0.709) == []


@given(st.integers(1, 3000), st.integers(1, 3000), st.floats(12, 100))
def test_every_scale_has_room_for_a_window(height: int, width: int, least: float) -> None:
    assert all(min(height, width) * scale >= 12 - 1e-9 for scale in pyramid_scales(height, width, least, 0.709))


def test_softmax_of_two() -> None:
    logits = np.array([[0, 0], [1, 3], [3, 1], [-1e30, 1e30]], dtype=np.float32)
    assert probabilities(logits) == pytest.approx([0.5, 0.8808, 0.1192, 1.0], abs=1e-4)


def test_boxes_of_a_map() -> None:
    output = np.zeros((5, 4, 6), dtype=np.float32)
    output[..., 0] = 9  # no face anywhere
    output[3, 1] = (0, 2, 0.1, 0.2, 0.3, 0.4)
    boxes, scores, offsets = boxes_from_map(output, 0.5, 0.6)
    assert boxes.tolist() == [[14, 6, 36, 28]]  # (2 * 3 + 1) / 0.5 ... (2 * 3 + 12) / 0.5, and y
    assert scores == pytest.approx([0.8808], abs=1e-4)
    assert offsets == pytest.approx(np.array([[0.1, 0.2, 0.3, 0.4]]))
    assert len(boxes_from_map(output, 0.5, 0.9)[0]) == 0


@pytest.mark.bound("MTCNN_WINDOWS")
def test_so_many_windows_go_on_and_the_best_of_more() -> None:
    """Thresholds near none would have every place compared with every other."""
    scores = np.random.default_rng(1).random(bounds.MTCNN_WINDOWS + 1)
    assert best_of(scores[:-1]).tolist() == list(range(bounds.MTCNN_WINDOWS))
    assert set(range(len(scores))) - set(best_of(scores).tolist()) == {int(scores.argmin())}
    everywhere = np.zeros((50, 50, 6), dtype=np.float32)
    everywhere[..., 1] = np.arange(2500).reshape(50, 50) / 2500
    boxes, found, _ = boxes_from_map(everywhere, 0.5, 0.01)
    assert len(boxes) == bounds.MTCNN_WINDOWS
    assert found.max() == probabilities(everywhere[..., :2]).max()


def test_suppression() -> None:
    boxes = np.array([[1, 1, 10, 10], [2, 1, 11, 10], [1, 1, 5, 5], [50, 50, 60, 60]], dtype=float)
    scores = np.array([0.8, 0.9, 0.95, 0.1])
    assert suppress(boxes, scores, 0.7).tolist() == [2, 1, 3]  # 90 of 110 px are shared by the first two
    assert suppress(boxes, scores, 0.7, of_smaller=True).tolist() == [2, 3]  # 25 and 20 of its 25 px lie in them


def test_regression_and_squares() -> None:
    box = np.array([[10.0, 10.0, 19.0, 29.0]])
    assert moved(box, np.array([[0.1, 0, 0.1, 0.5]])).tolist() == [[11, 10, 20, 39]]
    assert moved(box, np.array([[0.0, 0, 1.0, 0.0]]), ends=0).tolist() == [[10, 10, 28, 29]]
    assert squared(box).tolist() == [[5, 10, 24, 29]]


def test_astronaut(mtcnn: Mtcnn, astronaut: RgbImage) -> None:
    faces = mtcnn.detect(astronaut)
    assert len(faces) == 1
    truth = {"right_eye": (204, 102), "left_eye": (246, 104), "nose": (224, 129), "mouth": (223, 149)}
    for name, at in faces[0].landmarks.items():  # by eye, in the picture enlarged five times
        assert np.hypot(at[0] - truth[name][0], at[1] - truth[name][1]) < 10, (
            name
        )  # a smile lifts the corners of the mouth
    x, y, width, height = faces[0].box
    assert x < 190 < 250 < x + width
    assert y < 90 < 155 < y + height


def test_a_large_picture_is_reduced_and_mapped_back(mtcnn: Mtcnn, astronaut: RgbImage) -> None:
    large = cv2.resize(astronaut, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    assert min(large.shape[:2]) > module.SHORT_SIDE_PX
    (face,), (alone,) = mtcnn.detect(large), mtcnn.detect(astronaut)
    for name, at in alone.landmarks.items():
        assert face.landmarks[name] == pytest.approx((3 * at[0], 3 * at[1]), abs=6)


def test_at_the_edge_and_nothing_at_all(mtcnn: Mtcnn, astronaut: RgbImage) -> None:
    assert len(mtcnn.detect(np.ascontiguousarray(astronaut[60:180, 160:290]))) == 1
    mtcnn.detect(np.ascontiguousarray(astronaut[110:300, 150:224]))  # half a face: anything but an error
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    assert mtcnn.detect(noise) == []
    for shape in ((1, 1, 3), (3, 500, 3), (500, 3, 3), (700, 700, 3)):
        assert mtcnn.detect(np.full(shape, 200, dtype=np.uint8)) == []


@pytest.mark.bound("PICTURE_SIZES")
def test_one_interpreter_a_size(
    models: list[bytes], thresholds: dict[str, float], astronaut: RgbImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    real = module.open_interpreter

    def counted(*arguments: object, **options: object) -> object:
        opened.append(options.get("input_shape"))
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "open_interpreter", counted)
    detector = Mtcnn(models, thresholds, min_face_px=40)
    first = detector.detect(astronaut)
    n = len(opened)
    assert detector.detect(astronaut) == first
    assert len(opened) == n  # all kept
    monkeypatch.setattr(module, "MAX_SIZES", 3)
    for side in range(100, 112):
        detector.detect(astronaut[:side, :side])
    assert len(detector._pnet._by_size) <= 3  # a folder of photos does not fill the memory


def test_made_by_name_with_and_without_small_faces(real_bundle: Bundle, astronaut: RgbImage) -> None:
    spec = real_bundle.manifest.find_detector("mtcnn")
    small = cv2.resize(astronaut, None, fx=0.16, fy=0.16, interpolation=cv2.INTER_AREA)  # 15 px of face
    canvas = np.full((300, 400, 3), 120, dtype=np.uint8)
    canvas[: small.shape[0], : small.shape[1]] = small
    assert len(make_detector(spec, real_bundle.read, (2,)).detect(canvas)) == 1
    assert len(make_detector(spec, real_bundle.read).detect(canvas)) == 0
    assert len(make_detector(spec, real_bundle.read).detect(astronaut)) == 1


def test_bad_files_and_thresholds(models: list[bytes], thresholds: dict[str, float]) -> None:
    for wrong in ({"score": 0.5}, {**thresholds, "more": 0.1}, {**thresholds, "pnet": 1.5}):
        with pytest.raises(BundleError, match="expected pnet, rnet, onet"):
            Mtcnn(models, wrong)
    with pytest.raises(BundleError, match="found 2 files"):
        Mtcnn(models[:2], thresholds)
    with pytest.raises(RunnerError, match="mtcnn rnet: found input"):
        Mtcnn([models[0], models[2], models[1]], thresholds)
    tiny = (DATA / "tiny_float32.tflite").read_bytes()
    with pytest.raises(RunnerError, match="mtcnn pnet: found input"):
        Mtcnn([tiny, *models[1:]], thresholds)


def test_full_range_sees_smaller_faces(real_bundle: Bundle, astronaut: RgbImage) -> None:
    small = cv2.resize(astronaut[20:220, 120:320], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    canvas = np.full((600, 600, 3), 120, dtype=np.uint8)
    canvas[200:300, 300:400] = small  # a face of about 50 px: a twelfth of the picture
    found = {
        name: make_detector(real_bundle.manifest.find_detector(name), real_bundle.read).detect(canvas)
        for name in ("blazeface_short", "blazeface_full")
    }
    assert not found["blazeface_short"]
    (face,) = found["blazeface_full"]
    assert face.landmarks["nose"] == pytest.approx((300 + (224 - 120) / 2, 200 + (129 - 20) / 2), abs=6)
