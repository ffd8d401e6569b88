"""The real BlazeFace through the real interpreter, on a drawn face and on packaged photos."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from device_helpers import DATA, THRESHOLDS
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.contract.specs import DetectorSpec
from fer_edge.detectors import PHOTO_TILES, make_detector
from fer_edge.detectors.blazeface import BlazeFace
from fer_edge.detectors.letterbox import Halves, Region, fill, whole_region
from fer_edge.detectors.nms import Candidates
from fer_edge.detectors.search import SearchingDetector, tile_regions, whole_faces
from fer_edge.errors import BundleError, RunnerError, SchemaError
from fer_edge.tracking.track import iou
from fer_edge.types import FaceBox, RgbImage


def eyes_px(face: FaceBox) -> float:
    (ax, ay), (bx, by) = face.landmarks["right_eye"], face.landmarks["left_eye"]
    return float(np.hypot(ax - bx, ay - by))


def shifted(face: FaceBox, by: float) -> np.ndarray:
    return np.array(list(face.landmarks.values())) + by


def test_drawn_face(blazeface: BlazeFace, drawn: RgbImage) -> None:
    faces = blazeface.detect(drawn)
    assert len(faces) == 1
    marks = faces[0].landmarks
    assert list(marks) == ["right_eye", "left_eye", "nose", "mouth"]
    assert marks["right_eye"][0] < marks["left_eye"][0]  # the subject's right is on the picture's left
    assert max(marks["right_eye"][1], marks["left_eye"][1]) < marks["nose"][1] < marks["mouth"][1]


def test_astronaut_is_one_face(blazeface: BlazeFace, astronaut: RgbImage) -> None:
    for tiles in ((), (2,), PHOTO_TILES):
        faces = SearchingDetector(blazeface, tiles).detect(astronaut)
        assert len(faces) == 1, tiles
        truth = {"right_eye": (204, 102), "left_eye": (246, 104), "nose": (224, 129), "mouth": (223, 149)}
        for name, (x, y) in faces[0].landmarks.items():  # by eye, in the picture enlarged five times
            assert np.hypot(x - truth[name][0], y - truth[name][1]) < 10, (tiles, name)


def test_the_picture_s_frame_of_reference(blazeface: BlazeFace, astronaut: RgbImage) -> None:
    """A margin, a wide canvas or twice the size change px positions as they should."""
    alone = blazeface.detect(astronaut)[0]
    allowed = 0.35 * eyes_px(alone)
    wide = np.zeros((512, 620, 3), dtype=np.uint8)
    wide[:, 100:612] = astronaut
    at = blazeface.detect(wide)[0].landmarks["nose"]
    assert at == pytest.approx((alone.landmarks["nose"][0] + 100, alone.landmarks["nose"][1]), abs=allowed)
    twice = np.repeat(np.repeat(astronaut, 2, axis=0), 2, axis=1)
    at = blazeface.detect(twice)[0].landmarks["nose"]
    assert at == pytest.approx((alone.landmarks["nose"][0] * 2, alone.landmarks["nose"][1] * 2), abs=1.0)


def test_a_face_that_fills_the_picture(blazeface: BlazeFace, astronaut: RgbImage) -> None:
    tight = astronaut[70:180, 170:280]
    faces = SearchingDetector(blazeface).detect(tight)
    assert len(faces) == 1
    assert faces[0].landmarks["nose"] == pytest.approx((224 - 170, 129 - 70), abs=8)
    assert blazeface.detect(tight, border=0.5)[0].landmarks["nose"] == pytest.approx((54, 59), abs=8)


def test_small_faces_need_tiles(blazeface: BlazeFace, astronaut: RgbImage) -> None:
    canvas = np.full((600, 900, 3), 120, dtype=np.uint8)
    face = astronaut[20:220, 120:320][::3, ::3]  # 67 px of picture, about 33 px of face
    canvas[60:127, 80:147] = face
    canvas[400:467, 700:767] = face
    assert not SearchingDetector(blazeface).detect(canvas)
    found = sorted(SearchingDetector(blazeface, PHOTO_TILES).detect(canvas), key=lambda f: f.box[0])
    assert [(round(f.box[0] / 100), round(f.box[1] / 100)) for f in found] == [(1, 1), (7, 4)]


def test_nothing_in_noise_and_flat_pictures(blazeface: BlazeFace) -> None:
    detector = SearchingDetector(blazeface, PHOTO_TILES)
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    assert detector.detect(noise) == []
    for shape in ((1, 1, 3), (3, 500, 3), (500, 3, 3), (300, 300, 3)):
        assert detector.detect(np.full(shape, 200, dtype=np.uint8)) == []


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(2, 5))
def test_tiles_cover_the_picture_and_stay_inside(height: int, width: int, grid: int) -> None:
    regions = tile_regions(height, width, grid)
    for region in regions:
        assert region.x >= -1e-6
        assert region.y >= -1e-6
        assert region.x + region.side <= width + 1e-6
        assert region.y + region.side <= height + 1e-6
    for length, starts in ((width, {r.x for r in regions}), (height, {r.y for r in regions})):
        if regions:
            ordered, side = sorted(starts), regions[0].side
            assert ordered[0] == pytest.approx(0, abs=1e-6)
            assert ordered[-1] + side == pytest.approx(length)
            gaps = np.diff(ordered)
            assert (gaps <= side * (2 / 3) + 1e-6).all()  # neighbors share a third of a tile


def box(x0: float, y0: float, x1: float, y1: float) -> Candidates:
    points = np.zeros((1, 8, 2), dtype=np.float32)
    points[0, :2] = (x0, y0), (x1, y1)
    return Candidates(points, np.array([0.9], dtype=np.float32))


def test_faces_cut_by_a_tile_are_left_to_its_neighbor() -> None:
    left_tile, right_tile = Region(0, 0, 200), Region(200, 0, 200)
    assert len(whole_faces(box(50, 50, 100, 100), left_tile, (200, 400))) == 1
    assert len(whole_faces(box(150, 50, 199, 100), left_tile, (200, 400))) == 0
    assert len(whole_faces(box(202, 50, 250, 100), right_tile, (200, 400))) == 0
    assert len(whole_faces(box(-10, 50, 60, 100), left_tile, (200, 400))) == 1  # the picture's own edge
    assert len(whole_faces(box(350, 150, 410, 210), right_tile, (200, 400))) == 1


def test_whole_region_keeps_the_aspect() -> None:
    image = np.zeros((100, 200, 3), dtype=np.uint8)
    assert whole_region(image) == (0, -50, 200)
    assert whole_region(image, 0.5) == (-100, -150, 400)


def test_other_detectors_and_bad_thresholds(detector_model: bytes) -> None:
    with pytest.raises(SchemaError, match="expected 3 for mtcnn"):
        make_detector(DetectorSpec("mtcnn", ("x",), THRESHOLDS), lambda role: detector_model)
    for thresholds in ({"score": 0.5}, {**THRESHOLDS, "more": 0.1}, {"score": 1.5, "nms_iou": 0.3}):
        with pytest.raises(BundleError, match="score and nms_iou"):
            BlazeFace(detector_model, thresholds)


def test_another_network_is_not_taken_for_the_detector() -> None:
    with pytest.raises(RunnerError, match="expected \\(1, 128, 128, 3\\)"):
        BlazeFace((DATA / "tiny_float32.tflite").read_bytes(), THRESHOLDS)


def looks_of(blazeface: BlazeFace, monkeypatch: pytest.MonkeyPatch) -> list[Region]:
    """Where the network looks from now on."""
    seen: list[Region] = []
    real = blazeface.look

    def look(picture: Halves, region: Region, score: float | None = None) -> Candidates:
        seen.append(region)
        return real(picture, region, score)

    monkeypatch.setattr(blazeface, "look", look)
    return seen


def test_a_known_face_takes_one_look(
    blazeface: BlazeFace, astronaut: RgbImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = looks_of(blazeface, monkeypatch)
    detector = SearchingDetector(blazeface)
    (face,) = detector.detect(astronaut)
    assert len(looks) == 2  # everywhere, then at the find
    x, y, width, height = face.box
    moved = FaceBox((x + 0.2 * width, y - 0.1 * height, width, height), {}, 0.9)
    (again,) = detector.detect(astronaut, [moved])
    assert len(looks) == 3
    assert iou(again.box, face.box) > 0.85
    far = 0.06 * eyes_px(face)
    for name, point in face.landmarks.items():
        assert np.hypot(*np.subtract(again.landmarks[name], point)) < far, name


def test_a_face_that_is_not_where_it_is_expected_is_searched_everywhere(
    blazeface: BlazeFace, astronaut: RgbImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = looks_of(blazeface, monkeypatch)
    detector = SearchingDetector(blazeface)
    alone = detector.detect(astronaut)
    nowhere = FaceBox((350.0, 350.0, 80.0, 80.0), {}, 0.9)
    for near in ([nowhere], [alone[0], nowhere], [alone[0], alone[0]]):
        looks.clear()
        assert detector.detect(astronaut, near) == alone
        assert any(region.side == 512 for region in looks)


def test_halves_share_their_work_and_keep_places(astronaut: RgbImage) -> None:
    picture = Halves(astronaut)
    assert picture.level(0) is astronaut
    assert picture.level(2) is picture.level(2)
    assert picture.level(1)[7, 9].astype(int) == pytest.approx(astronaut[14:16, 18:20].mean(axis=(0, 1)), abs=0.51)
    canvas = np.zeros((128, 128, 3), dtype=np.uint8)
    for region in (Region(0, 0, 512), Region(-64.2, 100.7, 300.4), Region(101.3, 60.2, 90.9), Region(600, 600, 64)):
        shown = fill(canvas, picture, region)
        assert max(abs(a - b) for a, b in zip(shown, region, strict=True)) <= 2  # whole px of the half
        for x, y in [(x, y) for x in (10, 64, 120) for y in (10, 64, 120)]:
            at_x, at_y = (shown[i] + (v + 0.5) * shown.side / 128 for i, v in enumerate((x, y)))
            value = canvas[y, x].astype(int)
            if 4 <= at_x < 508 and 4 <= at_y < 508:
                here = astronaut[int(at_y) - 4 : int(at_y) + 5, int(at_x) - 4 : int(at_x) + 5].astype(int)
                assert (here.min(axis=(0, 1)) <= value + 1).all()
                assert (value - 1 <= here.max(axis=(0, 1))).all()
            elif min(at_x, at_y) < 0 or max(at_x, at_y) > 512:
                assert not value.any()


@pytest.mark.parametrize("side", [100, 128, 200, 256, 300, 600])
def test_a_tile_is_scaled_from_the_picture_itself(side: int) -> None:
    image = np.random.default_rng(side).integers(0, 256, (640, 700, 3), dtype=np.uint8)
    canvas = np.zeros((128, 128, 3), dtype=np.uint8)
    shown = fill(canvas, Halves(image, most=0), Region(13, 27, side))
    assert shown == Region(13, 27, side)
    method = cv2.INTER_AREA if side > 128 else cv2.INTER_LINEAR
    expected = cv2.resize(image[27 : 27 + side, 13 : 13 + side], (128, 128), interpolation=method)
    np.testing.assert_array_equal(canvas, expected)
