"""The detectors for onnxruntime: made of the tflite files, the same faces, only where asked for."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from fer_edge.classifier.onnx_interpreter import OnnxInterpreter
from fer_edge.classifier.providers import CPU
from fer_edge.cli import make_parser
from fer_edge.commands import verify
from fer_edge.contract.bundle import Bundle, encode_file, open_bundle, write_bundle
from fer_edge.contract.specs import DetectorSpec
from fer_edge.detectors import PHOTO_TILES, make_detector
from fer_edge.detectors.compared import compare_detectors
from fer_edge.errors import BundleError, RunnerError, UsageError, VerifyError
from fer_edge.pictures.photo import read_photo
from fer_edge.pipeline import open_pipeline
from fer_edge.setting import tuned
from fer_edge.setting.setting import setting_for
from fer_edge.tracking.track import iou
from fer_edge.trial.networks import run_all
from fer_edge.types import Frame, RgbImage
from fer_host.detector import for_onnxruntime, networks
from fer_host.errors import GateError
from fer_host.models.weights import package_file
from fer_host.recipe.recipe import load_detector

ROOT = Path(__file__).parents[3]
NAMES = ("blazeface_short", "blazeface_full", "mtcnn")
LEAST_IOU = 0.9
N_PORTRAITS = 12


def forms(name: str) -> tuple[DetectorSpec, dict[str, bytes]]:
    """The detector's entry and all its files."""
    recipe = load_detector(name)
    return networks.detector_spec(recipe, with_onnx=True), {
        **networks.detector_contents(recipe), **networks.int8_contents(recipe), **networks.onnx_contents(recipe)
    }  # fmt: skip


def pictures() -> list[RgbImage]:
    """The packaged photos, and portraits where the real faces are."""
    paths = [package_file(package, file) for package, file in networks.PHOTOS]
    data = Path(os.environ.get("FER_DATA") or ROOT.parent / "shared" / "data")
    paths += sorted((data / "faces_london" / "happy").glob("*.jpg"))[:N_PORTRAITS]
    return [read_photo(path).image for path in paths]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_faces_as_tflite(name: str) -> None:
    spec, contents = forms(name)
    other = spec.named(f"{name}.onnx")
    assert other is not None
    assert (spec.format, other.format) == ("tflite", "onnx")
    for tiles in ((), PHOTO_TILES):
        lite, other_one = (make_detector(form, contents.__getitem__, tiles, provider="cpu") for form in (spec, other))
        for image in pictures()[: None if not tiles else 2]:
            expected, found = lite.detect(image), other_one.detect(image)
            assert len(found) == len(expected) > 0
            for a, b in zip(expected, found, strict=True):
                assert iou(a.box, b.box) >= LEAST_IOU
                assert abs(a.score - b.score) < 0.01
                marks = np.array([a.landmarks[key] for key in a.landmarks]), np.array([*b.landmarks.values()])
                assert np.abs(marks[0] - marks[1]).max() < 0.02 * a.box[2]


def test_what_computes_it_is_told() -> None:
    _, contents = forms("blazeface_short")
    network = OnnxInterpreter(contents["detector/blazeface_short.onnx"], "a detector")
    assert (network.runs_on.name, network.runs_on.provider, network.runs_on.lacks) == ("onnxruntime", CPU, "")


@pytest.mark.parametrize(("name", "is_known"), [("mtcnn.onnx", True), ("mtcnn.int8", False), ("onnx", False)])
def test_the_command_line_takes_each_by_name(name: str, is_known: bool, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["image", "photo.png", "--detector", name]
    if is_known:
        assert make_parser("image").parse_args(line).detector == name
        return
    with pytest.raises((SystemExit, UsageError)):
        make_parser("image").parse_args(line)


def test_a_network_of_another_kind_is_refused() -> None:
    _, contents = forms("mtcnn")
    spec = DetectorSpec("blazeface_short", ("a",), {"score": 0.5, "nms_iou": 0.3}, onnx=("a",))
    with pytest.raises(RunnerError, match=r"detector blazeface_short: found input \(1, 24, 24, 3\)"):
        make_detector(spec, lambda _: contents["detector/mtcnn_rnet.onnx"])


def test_one_that_answers_otherwise_stops_the_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(networks, "BUILD", tmp_path)
    plain = for_onnxruntime.tflite_to_onnx

    def other(source: Path, target: Path, any_size: bool = False) -> None:
        plain(source, target, any_size)
        model = onnx.load(target)
        weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        weights.CopyFrom(numpy_helper.from_array(1.01 * numpy_helper.to_array(weights), weights.name))
        target.write_bytes(model.SerializeToString())

    monkeypatch.setattr(for_onnxruntime, "tflite_to_onnx", other)
    with pytest.raises(GateError, match="blazeface_short-onnx"):
        networks.onnx_contents(load_detector("blazeface_short"))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The built-in bundle with its classifier and detectors for onnxruntime too."""
    plain = open_bundle(ROOT / "device/fer_edge/builtin")
    files = dict(plain.manifest.files)
    stored = {role: (plain.path / entry.path).read_bytes() for role, entry in files.items()}
    specs = []
    for spec in (plain.manifest.detector, *plain.manifest.other_detectors):
        roles = tuple(f"{role}.onnx" for role in spec.files)
        contents = networks.onnx_contents(load_detector(spec.id))
        for role, content in zip(roles, contents.values(), strict=True):
            files[role], stored[role] = encode_file(role, content)
        specs.append(dataclasses.replace(spec, onnx=roles))
    manifest = dataclasses.replace(plain.manifest, files=files, detector=specs[0], other_detectors=tuple(specs[1:]))
    return write_bundle(tmp_path_factory.mktemp("both") / "bundle", manifest, stored)


def test_a_bundle_with_them_is_tried_verified_and_read(both: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    run_all(both)
    assert '"trying": "detector blazeface_short"' in capsys.readouterr().out
    rows = verify.verify_detectors(both)
    specs = (both.manifest.detector, *both.manifest.other_detectors)
    assert [row.detector for row in rows] == [f"{spec.id}.onnx" for spec in specs]
    assert sum(row.n_faces for row in rows) > 0
    assert min(row.least_iou for row in rows if row.least_iou is not None) >= LEAST_IOU
    assert {CPU in row.runs_on for row in rows} == {True}
    frame = Frame(pictures()[0], 0, 0.0)
    read = []
    for detector in (both.manifest.detector.id, f"{both.manifest.detector.id}.onnx"):
        pipeline = open_pipeline(both, setting_for(both.manifest, detector=detector, threads=1))
        read.append(pipeline.read_frame(frame).faces)
    (a,), (b,) = read
    assert a.label == b.label
    assert iou(a.face.box, b.face.box) >= LEAST_IOU


def test_verify_fails_where_other_faces_are_found(both: Bundle) -> None:
    """Faces that the tflite form finds and the other does not: its threshold is beyond every score."""
    blind = dataclasses.replace(both.manifest.detector, thresholds={**both.manifest.detector.thresholds, "score": 1.0})
    crops = verify._golden_arrays(both, [both.manifest.variant()])["crops"]

    class Manifest:
        """The form for onnxruntime with another threshold, as other kernels might have."""

        other_detectors = ()

        class detector:  # noqa: N801
            id = blind.id
            files = blind.files
            thresholds = both.manifest.detector.thresholds
            format = "tflite"

            @staticmethod
            def named(name: str) -> DetectorSpec | None:
                return blind.named(name)

    with pytest.raises(VerifyError, match=r"detector blazeface_short\.onnx: found 0 faces, .*, expected 1"):
        list(compare_detectors(Manifest, both.read, crops))  # type: ignore[arg-type]


def test_the_runtime_of_the_variant_decides_which_form(both: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle without the form, or a tflite variant, takes the plain one; a form that is told stays."""
    plain = both.manifest
    asked = dataclasses.replace(plain.variants[0], id="onnx", format="onnx")
    tolerances = {**plain.golden.tolerance_p, "onnx": 1e-3}
    manifest = dataclasses.replace(
        plain, variants=(*plain.variants, asked), golden=dataclasses.replace(plain.golden, tolerance_p=tolerances)
    )
    name = plain.detector.id
    assert setting_for(manifest).detector == name
    assert setting_for(manifest, "onnx").detector == f"{name}.onnx"
    assert setting_for(manifest, "onnx", detector=name).detector == f"{name}.onnx"
    assert setting_for(manifest, detector=f"{name}.onnx").detector == f"{name}.onnx"
    found = tuned.Tuned(None, "onnx", 1, name, 1.0, 1.0, "", provider="cpu")  # type: ignore[arg-type]
    monkeypatch.setattr(tuned, "recall", lambda _: found)
    measured = tuned.choose(dataclasses.replace(both, manifest=manifest), None, None, None)
    assert (measured.variant, measured.detector) == ("onnx", name)  # what was measured, on whatever runtime
    without = dataclasses.replace(manifest, detector=dataclasses.replace(plain.detector, onnx=None))
    assert setting_for(without, "onnx").detector == name


def test_a_file_that_leads_out_of_the_bundle_is_refused(both: Bundle, tmp_path: Path) -> None:
    role = (both.manifest.detector.onnx or ("",))[0]
    entry, content = encode_file(both.manifest.files[role].path, both.read(role) + b"\xca\x01\x00")  # a function
    stored = {name: (both.path / item.path).read_bytes() for name, item in both.manifest.files.items()}
    files = {**both.manifest.files, role: entry}
    spoiled = write_bundle(tmp_path / "b", dataclasses.replace(both.manifest, files=files), {**stored, role: content})
    with pytest.raises((RunnerError, BundleError), match="has functions"):
        run_all(spoiled)


def test_nobody_has_them_who_did_not_ask() -> None:
    assert networks.detector_spec(load_detector("blazeface_short")).onnx is None
    document = json.loads((ROOT / "device/fer_edge/builtin/manifest.json").read_text())
    assert not [role for role in document["files"] if role.endswith(".onnx")]
