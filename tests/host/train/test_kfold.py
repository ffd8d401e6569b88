"""``fer-host kfold`` end to end: the flagship's recipe cut down to seconds, on a small generated CK+."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from fer_host import cli
from fer_host.data.faces import FaceData, columns_of
from fer_host.errors import DataError
from fer_host.recipe.recipe import load_recipe
from fer_host.train.kfold import FoldScore, format_summary, run_kfold, summarize, ten_crop_scores
from fer_host.train.run import run_training
from fer_host.train.scoring import scores
from fer_host.zoo.card import read_card

N_SUBJECTS = 8
EMOTIONS = ("anger", "happy", "surprise")


@pytest.fixture
def recipe(tmp_path: Path, first_cycle: str) -> Path:
    text = re.sub(r"phases = .*", "phases = [{ epochs = 1, size_px = 32 }]", first_cycle)
    text = text.replace('start = "imagenet"', 'start = "random"').replace("size_px = 96", "size_px = 32", 1)
    text = text.replace("batch = 64", "batch = 8")
    path = tmp_path / "small.toml"
    path.write_text(text)
    return path


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for subject in range(N_SUBJECTS):
        for sequence, emotion in enumerate(EMOTIONS):
            image = random.integers(0, 256, (48, 48), dtype=np.uint8)
            for frame in (8, 9):
                path = tmp_path / "ck" / emotion / f"S{subject:03d}_{sequence:03d}_{frame:08d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), image + np.uint8(frame))  # near-identical frames
    return tmp_path / "ck"


def test_every_fold_is_trained_and_summed_up(
    recipe: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_host.train.kfold.TRAIN_CACHE", tmp_path / "cache")
    out = tmp_path / "folds.json"
    line = ["kfold", str(recipe), "--data", str(faces), "--folds", "2", "--out", str(out)]
    assert cli.main(line) == 0
    said = capsys.readouterr()
    assert "taken for CK+ as public 48 px crops" in said.err
    assert "no image is labelled contempt or disgust or fear or neutral or sadness" in said.err
    assert "fold 2/2" in said.out
    document = json.loads(out.read_text())
    folds = document["folds"]
    assert document["protocol"] == "folds grouped by subject"
    assert "warning" not in document
    assert "views" not in document
    assert sum(fold["n_test"] for fold in folds) == N_SUBJECTS * len(EMOTIONS) * 2
    accuracies = [fold["accuracy"] for fold in folds]
    assert document["mean"] == pytest.approx(np.mean(accuracies), abs=1e-6)
    for fold in folds:
        assert fold["n_train"] + fold["n_validation"] + fold["n_test"] == N_SUBJECTS * len(EMOTIONS) * 2
        assert fold["n_validation"] % 6 == 0  # whole persons
    again = list(run_kfold(load_recipe(str(recipe)), faces, 2, "subject", 1, next((tmp_path / "cache").iterdir())))
    assert [fold.accuracy for fold in again] == accuracies  # resumed, not trained again
    capsys.readouterr()
    scored = []
    monkeypatch.setattr(
        "fer_host.train.kfold.ten_crop_scores", lambda *given: scored.append(found := ten_crop_scores(*given)) or found
    )
    assert cli.main([*line, "--ten-crop"]) == 0
    assert len(list((tmp_path / "cache").iterdir())) == 1  # the same training, scored another way
    ten = json.loads(out.read_text())
    assert ten["views"] == 10
    assert "mean of 10 crops of each face" in capsys.readouterr().out
    assert [f["minutes"] for f in ten["folds"]] == [f["minutes"] for f in folds]
    assert [f["accuracy"] for f in ten["folds"]] == pytest.approx([found.accuracy for found in scored], abs=1e-6)
    assert [f["n_test"] for f in ten["folds"]] == [f["n_test"] for f in folds]


class SeesTheCorner(nn.Module):
    """Says anger to a light in the top left corner, else contempt."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        light = x[:, 0, :3, :3].mean((1, 2)) / 0.229 - 2.1
        return torch.stack([light, torch.zeros_like(light), *[torch.full_like(light, -9.0)] * 6], 1)


def test_ten_crops_are_averaged_before_the_answer(recipe: Path) -> None:
    loaded = load_recipe(str(recipe))
    images = np.zeros((2, 32, 32), dtype=np.uint8)
    images[0, :4, :4] = 255  # one of ten crops shows it
    rows = FaceData(source="made", images=images, **columns_of(["anger", "contempt"], ["All"] * 2))
    single = scores(SeesTheCorner(), loaded, rows)
    ten = ten_crop_scores(SeesTheCorner(), loaded, rows)
    assert (single.n, single.accuracy) == (2, 1.0)
    assert (ten.n, ten.accuracy) == (2, 0.5)
    assert ten.confusion[0, 1] == 1


def test_where_persons_are_not_known_folds_do_not_say_so(recipe: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for i in range(24):
        path = tmp_path / "own" / "train" / EMOTIONS[i % 3] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), random.integers(0, 256, (48, 48), dtype=np.uint8))
    loaded = load_recipe(str(recipe))
    folds = list(run_kfold(loaded, tmp_path / "own", 2, "subject", 1, tmp_path / "cache"))
    document = summarize(loaded, tmp_path / "own", "subject", 1, folds)
    assert "persons not known" in document.protocol
    assert "subject" not in format_summary(document)


def test_a_recipe_trains_on_a_set_of_picture_files(recipe: Path, faces: Path, tmp_path: Path) -> None:
    weights = run_training(load_recipe(str(recipe)), faces, tmp_path / "w.safetensors", tmp_path / "cache")
    card = read_card(weights)
    assert card is not None
    assert card.dataset == "CK+ as public 48 px crops"
    assert card.validation == "Validation"
    assert "Validation" in card.split
    assert card.n_train + card.float_scores[0].n == N_SUBJECTS * len(EMOTIONS) * 2
    assert "single view, Validation" in (tmp_path / "w.card.md").read_text()


def test_mean_and_deviation_are_over_folds(recipe: Path, tmp_path: Path) -> None:
    words = "folds grouped by sequence"
    folds = [FoldScore(i, 10, 2, 3, accuracy, 0.5, 0.1, words) for i, accuracy in enumerate((0.5, 0.7, 0.9))]
    document = summarize(load_recipe(str(recipe)), tmp_path, "sequence", 4, folds)
    assert (document.mean, document.std) == pytest.approx((0.7, 0.2))
    assert "70.00% ± 20.00% over 3 folds (n = 9, seed 4)" in format_summary(document)
    assert "grouped by sequence" in format_summary(document)


def test_leaky_folds_are_called_so(recipe: Path, faces: Path, tmp_path: Path) -> None:
    loaded = load_recipe(str(recipe))
    folds = list(run_kfold(loaded, faces, 2, "leaky", 1, tmp_path / "cache"))
    document = summarize(loaded, faces, "leaky", 1, folds)
    assert document.protocol.startswith("LEAKY")
    assert document.warning is not None
    assert "too high" in document.warning


def test_folds_that_cannot_be_trained_are_refused(recipe: Path, faces: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="9 folds for 8 groups"):
        next(run_kfold(load_recipe(str(recipe)), faces, 9, "subject", 1, tmp_path / "cache"))
    recipe.write_text(recipe.read_text().replace("batch = 8", "batch = 64"))
    with pytest.raises(DataError, match="at least one batch of 64"):
        next(run_kfold(load_recipe(str(recipe)), faces, 2, "subject", 1, tmp_path / "cache"))
