"""The library against the command, on the same photos; own boxes; batches; crops."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import fer_edge
from fer_edge.contract.baseline import BaselineDoc, dumps
from fer_edge.contract.bundle import open_bundle
from fer_edge.errors import BundleError, ImageError, LandmarkError, RunnerError, SchemaError
from fer_edge.types import RgbImage

Edge = Callable[..., subprocess.CompletedProcess[str]]
TIMES = ("stage_ms", "t_capture_s", "published_s", "time")


def untimed(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in TIMES}


def test_the_command_and_the_library_give_the_same_digits(
    edge: Edge, reader: fer_edge.Reader, bundle_path: Path, photos: list[Path]
) -> None:
    """From the file, its bytes, and the pixels that OpenCV reads from it; and real photos where FER_DATA has some."""
    more = sorted(Path(os.environ.get("FER_DATA", "/nowhere")).glob("faces_london/*/*.jpg"))[:20]
    done = edge("image", *photos, *more, "--bundle", bundle_path, "--threads", 1, "--json")
    assert done.returncode == 3, done.stderr  # one is damaged
    said = [untimed(document) for document in json.loads(done.stdout)]
    assert len(said) >= 20
    assert sum(len(document["faces"]) for document in said) >= 20
    assert [untimed(reader.read(path).to_dict()) for path in [*photos, *more]] == said
    for path, document in zip([*photos, *more], said, strict=True):
        if path.name in ("cut.jpg", "both.webp", "turned 5.jpg"):
            from_bytes = reader.read(path.read_bytes())
            assert from_bytes.to_dict()["faces"] == document["faces"], path
            assert from_bytes.damaged == document.get("damaged", False) == (path.name == "cut.jpg")
        if path.name != "cut.jpg":  # OpenCV fills the rest of it otherwise
            from_pixels = reader.read(cv2.imread(str(path)), order="bgr")
            assert from_pixels.to_dict()["faces"] == document["faces"], path


def test_a_reading(reader: fer_edge.Reader, astronaut: RgbImage) -> None:
    reading = reader.read(astronaut)
    (face,) = reading.faces
    assert (reading.width, reading.height, reading.image, reading.source) == (512, 512, None, "array")
    assert set(face.probabilities) == set(reader.labels)
    assert max(face.probabilities, key=face.probabilities.__getitem__) == face.label
    assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-5)
    x, y, w, h = reading.inside(face) or (0, 0, 0, 0)
    assert astronaut[y : y + h, x : x + w].shape == (h, w, 3)
    assert face.label in repr(reading)
    assert "512 x 512" in repr(reading)
    assert len(repr(reader)) < 200


def test_the_order_of_channels_matters_and_nothing_is_written_to(reader: fer_edge.Reader, astronaut: RgbImage) -> None:
    picture = astronaut.copy()
    picture.flags.writeable = False
    right = reader.read(picture)
    assert reader.read(picture[:, :, ::-1], order="bgr").faces == right.faces
    assert reader.read(picture[:, :, ::-1]).faces != right.faces
    np.testing.assert_array_equal(picture, astronaut)


def test_a_frame_keeps_its_place(reader: fer_edge.Reader, astronaut: RgbImage) -> None:
    frame = fer_edge.Frame(astronaut, 7, source="left eye")
    reading = reader.read(frame)
    assert (reading.index, reading.source, reading.t_capture_s) == (7, "left eye", frame.t_capture_s)
    assert reading.faces == reader.read(astronaut).faces
    assert repr(frame).startswith("Frame(left eye, index 7, 512 x 512 px")


# -- own boxes -------------------------------------------------------------------------------------------------------


def test_own_boxes(reader: fer_edge.Reader, astronaut: RgbImage) -> None:
    """With the landmarks of the search the answer is its own; without, they are looked for in the box."""
    large = cv2.resize(astronaut, (1500, 1500))  # so that it is scaled down on the way
    (face,) = reader.read(large).faces
    document = reader.read(large).to_dict()["faces"][0]
    five = [*[face.landmarks[name] for name in ("right_eye", "left_eye", "nose")], *[face.landmarks["mouth"]] * 2]
    for given in (face, document, {"box": face.box, "landmarks": five}, {"box": np.array(face.box)}, face.box):
        reading = reader.read(large, faces=[given])  # type: ignore[list-item]  # arrays are taken too
        (found,) = reading.faces
        assert found.label == face.label
        assert found.probabilities[face.label] == pytest.approx(face.probabilities[face.label], abs=0.1)
        assert found.box == pytest.approx(face.box, abs=0.01)
        assert all(
            found.landmarks[n] == pytest.approx(face.landmarks[n], abs=20)
            for n in ("right_eye", "left_eye", "nose", "mouth")
        )
    assert reader.read(large, faces=[face]).faces[0].probabilities == pytest.approx(face.probabilities, abs=1e-3)


def test_a_box_where_the_detector_sees_no_face_is_read_all_the_same(reader: fer_edge.Reader) -> None:
    wall = np.full((200, 300, 3), 90, np.uint8)
    (face,) = reader.read(wall, faces=[(100, 50, 80, 80)]).faces
    assert face.landmarks["nose"] == pytest.approx((139.6, 87.7), abs=0.5)
    assert reader.read(wall, faces=[]).faces == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((1, 2, 3), "expected a box"),
        ("face", "expected a box"),
        ((1, 2, 3, float("nan")), "expected a box"),
        ((10, 10, 0, 5), "empty or outside"),
        ((900, 10, 5, 5), "empty or outside"),
        ({"landmarks": {}}, "expected a box"),
        ({"box": (10, 10, 50, 50), "landmarks": {"nose": (1, 1)}}, "expected \\(x, y\\) for each of right_eye"),
        ({"box": (10, 10, 50, 50), "landmarks": [(1, 1)] * 3}, "a list of five"),
        ({"box": (10, 10, 50, 50), "score": "high"}, "score"),
    ],
)
def test_boxes_that_are_none(reader: fer_edge.Reader, astronaut: RgbImage, given: Any, said: str) -> None:
    with pytest.raises(ImageError, match=r"^faces\[1\]: ") as error:
        reader.read(astronaut, faces=[(10, 10, 50, 50), given])
    assert error.match(said)


def test_landmarks_that_coincide(reader: fer_edge.Reader, astronaut: RgbImage) -> None:
    with pytest.raises(LandmarkError):
        reader.read(astronaut, faces=[{"box": (10, 10, 50, 50), "landmarks": [(20, 20)] * 5}])


# -- many ------------------------------------------------------------------------------------------------------------


def test_a_batch_is_its_pictures_one_by_one(reader: fer_edge.Reader, photos: list[Path], astronaut: RgbImage) -> None:
    pictures = [*photos[:3], astronaut, photos[0].read_bytes()]
    found = reader.read_batch(iter(pictures))
    assert [reading.faces for reading in found] == [reader.read(picture).faces for picture in pictures]
    assert reader.read_batch([]) == []
    with pytest.raises(ImageError, match="nowhere"):
        reader.read_batch([photos[0], "nowhere.jpg", *photos])


def test_crops_of_any_size_and_color(reader: fer_edge.Reader, astronaut: RgbImage) -> None:
    face = np.ascontiguousarray(astronaut[60:190, 165:285])
    crops = [face, cv2.resize(face, (31, 33)), face[:, :, 0], np.dstack([face, face[:, :, 0]]), *[face] * 7]
    found = reader.read_crops(iter(crops))
    assert len(found) == len(crops)
    assert found[0] == found[3] == found[-1]
    assert found[1].box == (0, 0, 31, 33)
    assert found[0] == reader.read_crops([face[:, :, ::-1]], order="bgr")[0]
    assert reader.read_crops([]) == []
    with pytest.raises(ImageError, match=r"crops\[1\]: "):
        reader.read_crops([face, face[:0]])


# -- opening and closing ---------------------------------------------------------------------------------------------


def test_after_its_end_it_says_so(bundle_path: Path, astronaut: RgbImage) -> None:
    with fer_edge.open_reader(str(bundle_path), threads=1, tiles=(0,)) as reader:
        reader.read(astronaut)
    reader.close()
    for use in (
        lambda: reader.read(astronaut),
        lambda: reader.read_crops([astronaut]),
        lambda: list(reader.follow([])),
    ):
        with pytest.raises(RunnerError, match="closed"):
            use()


def test_what_is_told_is_taken(bundle_path: Path, tmp_path: Path) -> None:
    assert "threads=1" in repr(fer_edge.open_reader(bundle_path, threads=1, variant="float32"))
    assert "float32" in repr(fer_edge.open_reader(bundle_path, variant="float32"))
    with pytest.raises(SchemaError, match="variant"):
        fer_edge.open_reader(bundle_path, variant="int3")
    with pytest.raises(BundleError, match="no manifest"):
        fer_edge.open_reader(tmp_path)


def test_a_baseline_tells_the_shift(bundle_path: Path, astronaut: RgbImage, tmp_path: Path) -> None:
    bundle, path = open_bundle(bundle_path), tmp_path / "me.json"
    labels = bundle.manifest.labels
    path.write_text(dumps(BaselineDoc(bundle.manifest.model_id, bundle.sha256, labels, (0.0,) * len(labels), 1, "")))
    reader = fer_edge.open_reader(bundle_path, threads=1, baseline=path)
    (face,) = reader.read(astronaut).faces
    assert face.shift is not None
    assert set(face.shift) == set(labels)
    assert reader.read(astronaut, faces=[face]).faces[0].shift == pytest.approx(face.shift, abs=0.1)
    path.write_text(dumps(BaselineDoc("other", "0" * 64, labels, (0.0,) * len(labels), 1, "")))
    with pytest.raises(SchemaError, match="baseline"):
        fer_edge.open_reader(bundle_path, baseline=path)


def test_without_an_argument_it_is_the_command_s(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FER_EDGE_BUNDLE", str(bundle_path))
    assert fer_edge.open_reader().bundle == bundle_path


# -- pictures of it --------------------------------------------------------------------------------------------------


def test_annotate_and_blur_keep_the_order(reader: fer_edge.Reader, astronaut: RgbImage, photos: list[Path]) -> None:
    reading, bgr = reader.read(astronaut), astronaut[:, :, ::-1]
    for draw in (fer_edge.annotate, fer_edge.blur):
        drawn = draw(astronaut, reading)
        assert drawn.shape == astronaut.shape
        assert (drawn != astronaut).any()
        np.testing.assert_array_equal(draw(bgr, reading, order="bgr"), drawn[:, :, ::-1])
    blurred = fer_edge.annotate(astronaut, reading, blur=True)
    assert reader.read(fer_edge.blur(astronaut, reading)).faces == ()
    assert (blurred != fer_edge.blur(astronaut, reading)).any()
    turned = next(path for path in photos if path.name == "turned 6.jpg")
    of_turned = reader.read(turned)
    assert fer_edge.annotate(turned, of_turned).shape == (of_turned.height, of_turned.width, 3)


def test_another_picture_is_noticed(reader: fer_edge.Reader, astronaut: RgbImage) -> None:
    reading = reader.read(astronaut)
    with pytest.raises(ImageError, match="the reading is of 512 x 512"):
        fer_edge.annotate(astronaut[:100], reading)
    with pytest.raises(ImageError, match="only there in follow"):
        fer_edge.blur(reading.image, reading)
