"""A bundle that answers in two label sets; the tiny network's eight outputs are read as 5 + 3."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from device_helpers import SIDE, golden_arrays, make_bundle, random_crops, rewritten, tiny

from fer_edge.commands.info import describe
from fer_edge.commands.verify import compare_probabilities, verify
from fer_edge.contract.answer import raw_answers
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.contract.errors import SchemaError
from fer_edge.contract.labels import Calibration, LabelSet
from fer_edge.contract.preprocess import preprocess, softmax
from fer_edge.errors import VerifyError
from fer_edge.pipeline import open_pipeline
from fer_edge.setting.setting import Setting
from fer_edge.types import FaceBox

FIVE, THREE = LabelSet("five", ("a", "b", "c", "d", "e"), (0, 5)), LabelSet("three", ("x", "y", "z"), (5, 8))


@pytest.fixture
def two_sets(detector_model: bytes, tmp_path: Path) -> Bundle:
    arrays = golden_arrays({name: tiny(name) for name in ("float32", "int8")})
    for name in ("float32", "int8"):
        whole = np.log(arrays[f"probabilities/{name}"])  # a softmax' logarithm is the logits less a constant
        arrays[f"probabilities/{name}"] = raw_answers(whole, (FIVE, THREE))
    one = make_bundle(tmp_path / "one", detector_model, arrays)
    return rewritten(
        one, tmp_path / "two", labels=FIVE.labels, label_sets=(FIVE, THREE), default_label_set="five"
    )  # fmt: skip


FLOAT32 = Setting("float32", 1, "blazeface_short")


def face() -> FaceBox:
    points = {"right_eye": (30.0, 38.0), "left_eye": (66.0, 38.0), "nose": (48.0, 57.5), "mouth": (48.0, 75.0)}
    return FaceBox((20.0, 20.0, 60.0, 60.0), points, 0.9)


@pytest.mark.parametrize("labels", [FIVE, THREE])
def test_the_chosen_set_is_read(labels: LabelSet, two_sets: Bundle) -> None:
    image = random_crops(1)[0]
    pipeline = open_pipeline(two_sets.answering_in(labels.id), FLOAT32)
    (row,) = pipeline.classify(image, [face()], {})
    assert len(row) == len(labels.labels)
    crop = preprocess(image, two_sets.manifest.input, (SIDE, SIDE))[None]
    expected = softmax(pipeline.runner(crop)[:, slice(*labels.slice)])[0]
    np.testing.assert_allclose(row, expected, atol=0.02)  # the crop goes through the alignment, which is the identity


def test_a_temperature_takes_sureness(two_sets: Bundle, tmp_path: Path) -> None:
    warm = Calibration("temperature", 4.0, "rows", 10, 0.1, 0.05)
    calibrated = rewritten(
        two_sets, tmp_path / "warm", calibration=warm, label_sets=(replace(FIVE, calibration=warm), THREE)
    )
    image = random_crops(1)[0]
    plain, less_sure = (
        open_pipeline(bundle, FLOAT32).classify(image, [face()], {})[0] for bundle in (two_sets, calibrated)
    )
    assert max(less_sure) < max(plain)
    assert np.argmax(less_sure) == np.argmax(plain)
    assert "not calibrated" in describe(two_sets)
    assert "calibrated (temperature 4.000, ECE 0.100 -> 0.050)" in describe(calibrated)
    assert describe(calibrated).count("not calibrated") == 1  # the other set's
    verify(calibrated, ["float32", "int8"])  # golden vectors do not depend on it


def test_golden_vectors_are_compared_set_by_set(two_sets: Bundle) -> None:
    assert [row.n_top1 for row in verify(two_sets, ["float32", "int8"])] != [0, 0]
    expected = raw_answers(np.zeros((1, 8), dtype=np.float32), (FIVE, THREE))
    expected[0, 5:] = (0.6, 0.3, 0.1)
    found = expected.copy()
    found[0, 5:] = (0.44, 0.46, 0.1)  # within the tolerance, another answer of the second set
    golden = replace(two_sets.manifest.golden, margin=0.2, tolerance_p={"int8": 0.2})
    with pytest.raises(VerifyError, match="another answer on 1 of 1"):
        compare_probabilities("int8", found, expected, golden, two_sets.manifest.sets)


def test_a_set_that_the_bundle_does_not_answer_in(two_sets: Bundle) -> None:
    with pytest.raises(SchemaError, match="labels: found 'fer7', this bundle answers in five, three"):
        open_bundle(two_sets.path).answering_in("fer7")
