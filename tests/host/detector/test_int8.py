"""The detectors' int8 forms: made of the packages' own files and the shipped ranges, and they find the same faces."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fer_edge.detectors import make_detector
from fer_edge.pictures.photo import read_photo
from fer_edge.tracking.track import iou
from fer_host.detector import networks
from fer_host.detector.float32 import in_float32
from fer_host.detector.int8 import path_of_ranges
from fer_host.detector.looks import looks_at
from fer_host.device_pipeline import BLAZEFACES, open_interpreter
from fer_host.errors import GateError
from fer_host.models.weights import package_file
from fer_host.recipe.recipe import load_detector
from fer_host.tflite import ranges as ranges_format
from fer_host.tflite.arithmetic import arithmetic
from fer_host.tflite.inspection import TfliteInfo, inspect_tflite

NAMES = ("blazeface_short", "blazeface_full")
IN_INT8 = ("blazeface_short",)


def inspected(content: bytes, folder: Path) -> TfliteInfo:
    path = folder / "network.tflite"
    path.write_bytes(content)
    return inspect_tflite(path)


@pytest.mark.parametrize("name", NAMES)
def test_weights_in_float32_change_no_bit(name: str, tmp_path: Path) -> None:
    (content,) = networks.detector_contents(load_detector(name)).values()
    plain = in_float32(content)
    info = inspected(plain, tmp_path)
    assert not {"DEQUANTIZE", "RELU"} & {op.type for op in info.ops}
    assert {t.dtype for t in info.tensors} <= {"float32", "int32"}
    picture = np.random.default_rng(1).uniform(-1, 1, info.inputs[0].shape).astype(np.float32)
    answers = []
    for each in (content, plain):
        interpreter = open_interpreter(each, name, reference_kernels=True)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture)
        interpreter.invoke()
        outputs = {d["shape"][-1]: interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()}
        answers.append(outputs)
    for last, values in answers[0].items():
        np.testing.assert_array_equal(values, answers[1][last])


@pytest.mark.parametrize("name", IN_INT8)
def test_int8_finds_the_same_faces(name: str, tmp_path: Path) -> None:
    recipe = load_detector(name)
    floats, int8 = networks.detector_contents(recipe), networks.int8_contents(recipe)
    info = inspected(next(iter(int8.values())), tmp_path)
    assert [spec.dtype for spec in info.inputs] == ["int8"]
    assert {spec.dtype for spec in info.outputs} == {"float32"}
    computed = Counter(arithmetic(info, op) for op in info.ops)
    assert computed["int8"] > computed["float32"] > 0
    spec = networks.detector_spec(recipe)
    for package, file in networks.PHOTOS:
        image = read_photo(package_file(package, file)).image
        (a,), (b,) = (
            make_detector(spec.named(form), {**floats, **int8}.__getitem__).detect(image)  # type: ignore[arg-type]
            for form in spec.names
        )
        assert iou(a.box, b.box) >= 0.9
        assert abs(a.score - b.score) < 0.1


def test_ranges_of_another_kind_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The gate on the packaged photos is one that can fail: with ranges a hundredth as wide, no face is found."""
    recipe = load_detector("blazeface_short")
    ranges = ranges_format.load(path_of_ranges(recipe.networks[0]))
    narrow = {key: (low / 100, high / 100) for key, (low, high) in ranges.ranges.items()}
    monkeypatch.setattr(networks, "BUILD", tmp_path)
    monkeypatch.setattr(ranges_format, "load", lambda path: dataclasses.replace(ranges, ranges=narrow))
    with pytest.raises(GateError, match=r"in int8 it finds . faces in astronaut\.png, in float 1"):
        networks.int8_contents(recipe)


def test_every_network_with_an_int8_form_ships_its_ranges() -> None:
    assert networks.detector_spec(load_detector("blazeface_short")).int8 == ("detector/blazeface_short.int8",)
    assert networks.detector_spec(load_detector("mtcnn")).int8 is None
    for name in (*NAMES, "mtcnn"):
        for network in load_detector(name).networks:
            if network.float_from is not None:
                assert ranges_format.load(path_of_ranges(network)).weights_sha256 == network.sha256


def test_looks_show_the_face_where_they_say() -> None:
    recipe = load_detector("blazeface_short")
    image = read_photo(package_file(*networks.PHOTOS[0])).image
    detector = networks.load_detector_model("blazeface_short")
    faces = detector.detect(image)
    first, second = looks_at("blazeface_short", image, faces)
    assert first.picture.shape == second.picture.shape == (128, 128, 3)
    sides = [look.face[2] - look.face[0] for look in (first, second)]
    assert sides[0] < sides[1]
    assert sides[1] == pytest.approx(128 / BLAZEFACES[recipe.id].second_look, abs=4)
    x0, y0, x1, y1 = second.face
    assert (x0 + x1) / 2 == pytest.approx(64, abs=2)
    assert (y0 + y1) / 2 == pytest.approx(64, abs=2)
