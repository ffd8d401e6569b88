"""Calibration sets: what is drawn, what is said of it, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from fer_edge.contract.labels import EMOTIONS7, EMOTIONS8
from fer_host.calibration.faces import CalibrationFaces, faces_from_npz, faces_from_rows, training_faces
from fer_host.calibration.lint import MIN_FACES, LintReport, lint
from fer_host.calibration.ranges import ranges_of
from fer_host.calibration.sets import set_record
from fer_host.data.faces import FaceData, columns_of
from fer_host.errors import DataError
from fer_host.files.paths import CALIBRATION_RANGES
from fer_host.pipeline import float_network
from fer_host.recipe.recipe import load_recipe
from fer_host.tflite import ranges as ranges_format


def crops(n: int, low: int = 60, high: int = 200, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(low, high, (48, 48)).astype(np.uint8) for _ in range(n)]


def check(images: list[np.ndarray], labels: list[str | None] | None = None, **counts: int) -> LintReport:
    numbers = {"n_photos": len(images), "n_unreadable": 0, "n_without_face": 0} | counts
    return lint(images, labels or [None] * len(images), source="mine", **numbers)


def test_a_sound_set_has_no_warnings() -> None:
    report = check(crops(120), ["fear", "anger"] * 60)
    assert report.warnings == ()
    assert report.labels == {"anger": 60, "fear": 60}


@pytest.mark.parametrize(
    ("images", "labels", "counts", "said"),
    [
        (crops(20), None, {}, "steadier"),
        (crops(120), None, {"n_unreadable": 2}, "could not be read"),
        (crops(120), None, {"n_photos": 150, "n_without_face": 30}, "no face found in 30 of 150"),
        (crops(120) + crops(1), None, {}, "1 faces are exact copies"),
        (crops(120, 0, 20), None, {}, "darker, brighter"),
        (crops(120, 120, 130), None, {}, "darker, brighter"),
        (crops(120), ["fear"] * 119 + ["anger"], {}, "unbalanced: from 1 to 119"),
        (crops(120), ["fear"] * 120, {}, "all faces have one label"),
    ],
)
def test_each_flaw_is_said(
    images: list[np.ndarray], labels: list[str | None] | None, counts: dict[str, int], said: str
) -> None:
    assert any(said in line for line in check(images, labels, **counts).warnings)


@pytest.mark.parametrize("images", [[], crops(MIN_FACES - 1), crops(1) * 100])
def test_a_hopeless_set_is_refused_in_one_line(images: list[np.ndarray]) -> None:
    with pytest.raises(DataError, match="different faces in") as caught:
        check(images)
    assert "\n" not in str(caught.value)
    assert "leave CALIB out" in str(caught.value)


def test_the_same_faces_keep_what_is_known_of_them() -> None:
    images = crops(120)
    faces = CalibrationFaces(images, [str(i) for i in range(120)], [None] * 120, check(images))
    first = set_record("a", faces, None, "a fair", "CC0", default_source="photos")
    assert (first.source, first.license) == ("a fair", "CC0")
    again = set_record("a", faces, first, "", "", default_source="photos")
    assert again == first
    others = dataclasses.replace(faces, origins=["another"] * 120)
    assert set_record("a", others, first, "", "", default_source="photos").source == "photos"
    assert set_record("a", faces, first, "", "CC-BY", default_source="photos").license == "CC-BY"


def labelled_rows(n: int = 400) -> FaceData:
    """Three quarters are neutral; every tenth has no label; every fifth is a test row; all images differ."""
    random = np.random.default_rng(3)
    names = [None if i % 10 == 9 else "neutral" if i % 4 else str(random.choice(EMOTIONS7)) for i in range(n)]
    usage = ["PublicTest" if i % 5 == 0 else "Training" for i in range(n)]
    return FaceData(source="made up", images=np.stack(crops(n)), **columns_of(names, usage))


def test_training_rows_are_drawn_over_the_labels_of_the_recipe() -> None:
    rows = labelled_rows()
    faces = faces_from_rows(rows, "fer7", 60, seed=1, source="made up")
    row_of = {image.tobytes(): i for i, image in enumerate(rows.images)}
    drawn = [row_of[crop.tobytes()] for crop in faces.crops]
    assert len(set(drawn)) == 60
    assert {str(rows.usage[i]) for i in drawn} == {"Training"}
    assert faces.labels == [EMOTIONS7[rows.label7[i]] for i in drawn]
    assert set(faces.report.labels) == set(EMOTIONS7)
    plain = faces_from_rows(rows, "fer7", 60, seed=1, balanced=False, source="made up")
    assert faces.report.labels["neutral"] < 25 < 40 < plain.report.labels["neutral"]
    assert faces.hashes() != faces_from_rows(rows, "fer7", 60, seed=2, source="made up").hashes()


def test_the_npz_gives_the_faces_that_its_rows_give(tmp_path: Path) -> None:
    rows = labelled_rows(200)
    votes = np.zeros((200, 10), dtype=np.int64)
    votes[np.arange(200), np.where(rows.label8 < 0, 9, rows.label8)] = 10
    np.savez(
        tmp_path / "f.npz",
        images=rows.images,
        fer_label=np.zeros(200, dtype=np.int8),
        ferplus_votes=votes,
        usage=rows.usage,
        duplicates_training=np.zeros(200, dtype=bool),
        fer_classes=np.array(["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]),
        ferplus_classes=np.array([*EMOTIONS8, "unknown", "NF"]),
    )
    found = faces_from_npz(tmp_path / "f.npz", 50, seed=1)
    expected = faces_from_rows(rows, "ferplus8", 50, seed=1, source="made up")
    assert (found.hashes(), found.labels, found.origins) == (expected.hashes(), expected.labels, expected.origins)
    assert found.report == expected.report


def test_tuned_weights_are_calibrated_on_labelled_training_rows(capsys: pytest.CaptureFixture[str]) -> None:
    rows = labelled_rows(100)
    assert len(training_faces(load_recipe("larn"), rows, "mine").crops) == 70  # neither test rows nor unlabelled ones
    assert "calibration note: 70 faces; 100 or more give steadier ranges" in capsys.readouterr().out
    with pytest.raises(DataError, match=r"calibration mine: 7 different faces.*a set with more fer7 labels") as caught:
        training_faces(load_recipe("larn"), rows.select(np.arange(11)), "mine")
    assert "CALIB" not in str(caught.value)  # nothing that `qat` takes


def test_shipped_ranges_are_summarized_as_their_recipes_say() -> None:
    found = {}
    for path in sorted(CALIBRATION_RANGES.glob("*.json")):
        name = path.stem.removeprefix("mixed.").split("-")[0].split(".")[0]
        percentile = load_recipe(name).convert.calibration_percentile
        found[path.name] = ranges_format.load(path).method
        assert found[path.name] == ("minmax" if percentile == 100 else f"percentile {percentile:g}"), path.name
    assert found["ddamfn.json"] == "percentile 98"
    assert found["hawqc_mbv2.json"] == "minmax"


def test_a_percentile_gives_up_what_few_faces_reach() -> None:
    recipe = load_recipe("larn")
    images = crops(9, 100, 140)
    images.append(np.where(images[0] > 120, 255, 0).astype(np.uint8))  # one of far more contrast
    faces = CalibrationFaces(images, [""] * 10, [None] * 10, LintReport(10, 10, 0, 0, 0, 0, {}, ()))
    float_tflite, digest = float_network(recipe, None)
    whole = ranges_of(faces, recipe, float_tflite, digest).ranges
    convert = dataclasses.replace(recipe.convert, calibration_percentile=80.0)
    found = ranges_of(faces, dataclasses.replace(recipe, convert=convert), float_tflite, digest)
    assert found.method == "percentile 80"
    assert np.mean([found.ranges[key][1] < high for key, (_, high) in whole.items()]) > 0.8
