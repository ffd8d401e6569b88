from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fer_host.calibration.faces import CalibrationFaces
from fer_host.calibration.lint import MIN_FACES, LintReport, lint
from fer_host.calibration.sets import set_record
from fer_host.errors import DataError


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
