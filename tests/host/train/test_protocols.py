"""Splits and folds as properties; ten crops that are not one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.contract.errors import SchemaError
from fer_edge.contract.labels import EMOTIONS8
from fer_host.data.faces import FaceData, columns_of
from fer_host.errors import DataError
from fer_host.evaluate.ten_crop import ten_crops
from fer_host.recipe.recipe import load_recipe
from fer_host.train.digest import train_digest
from fer_host.train.protocols import (
    HELD_OUT,
    as_fold,
    cross_validation,
    grouped_folds,
    hold_out,
    in_words,
    leaky_shuffled_folds,
    temperature_rows,
    validation_rows,
    with_held_out,
    with_validation,
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    n_groups = draw(st.integers(2, 20))
    sizes = draw(st.lists(st.integers(1, 6), min_size=n_groups, max_size=n_groups))
    groups = np.repeat([f"g{i}" for i in range(n_groups)], sizes)
    labels = np.array(draw(st.lists(st.integers(0, 6), min_size=len(groups), max_size=len(groups))), dtype=np.int64)
    order = np.random.default_rng(draw(st.integers(0, 9))).permutation(len(groups))
    return labels[order], groups[order], draw(st.integers(2, n_groups))


@settings(max_examples=100, deadline=None)
@given(tables(), st.integers(0, 5))
def test_no_group_is_in_two_folds_and_every_fold_tests(table: tuple[np.ndarray, np.ndarray, int], seed: int) -> None:
    labels, groups, k = table
    folds = grouped_folds(labels, groups, k, seed)
    assert sorted(set(folds.tolist())) == list(range(k))  # every row in exactly one, no fold empty
    for group in np.unique(groups):
        assert len(set(folds[groups == group].tolist())) == 1
    assert (folds == grouped_folds(labels, groups, k, seed)).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 60), st.data())
def test_leaky_folds_are_a_partition_too(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(2, n))
    sizes = np.bincount(leaky_shuffled_folds(n, k, 0), minlength=k)
    assert sizes.sum() == n
    assert sizes.max() - sizes.min() <= 1


def test_classes_are_spread_where_groups_allow() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    groups = np.array([f"g{i}" for i in range(100)])
    folds = grouped_folds(labels, groups, 10, seed=1)
    for fold in range(10):
        assert np.bincount(labels[folds == fold], minlength=3).tolist() == [6, 3, 1]


def test_the_seed_moves_groups() -> None:
    labels, groups = np.zeros(40, dtype=np.int64), np.arange(40).astype(str)
    assert (grouped_folds(labels, groups, 4, 1) != grouped_folds(labels, groups, 4, 2)).any()


def test_more_folds_than_persons_are_refused() -> None:
    with pytest.raises(DataError, match="3 folds for 2 groups"):
        grouped_folds(np.zeros(8, dtype=np.int64), np.repeat(["a", "b"], 4), 3, 0)


def ck(n_subjects: int = 20, usage: str = "All") -> FaceData:
    """Three frames of each of two sequences a subject, as CK+ has them."""
    n = n_subjects * 6
    names = [EMOTIONS8[(i // 3) % 8] for i in range(n)]
    sequence = [f"S{i // 6:03d}_{(i // 3) % 2:03d}" for i in range(n)]
    subject = [f"S{i // 6:03d}" for i in range(n)]
    images = np.random.default_rng(0).integers(0, 256, (n, 12, 12), dtype=np.uint8)
    return FaceData(source="generated", images=images, **columns_of(names, [usage] * n, sequence, subject))


@pytest.mark.parametrize("by", ["subject", "sequence"])
def test_near_identical_frames_never_straddle_a_fold(by: str) -> None:
    data = ck()
    folds = cross_validation(data, "ferplus8", 5, by, seed=3)  # type: ignore[arg-type]
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(len(data)))
    for fold in folds:
        parts = [set(getattr(data, by)[rows].tolist()) for rows in (fold.train, fold.validation, fold.test)]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert len(fold.train) + len(fold.validation) + len(fold.test) == len(data)
        assert len(fold.validation) < len(fold.train) / 4
        marked = as_fold(data, fold)
        assert {u: int((marked.usage == u).sum()) for u in ("Training", "Validation", "Test")} == {
            "Training": len(fold.train), "Validation": len(fold.validation), "Test": len(fold.test),
        }  # fmt: skip


def test_leaky_folds_leak_and_labels_of_the_other_set_are_left_out() -> None:
    data = ck()
    folds = cross_validation(data, "fer7", 5, "leaky", seed=3)
    assert sum(len(fold.test) for fold in folds) == int((data.label7 >= 0).sum()) < len(data)
    fold = folds[0]
    assert set(data.sequence[fold.train].tolist()) & set(data.sequence[fold.test].tolist())


def test_validation_comes_out_of_training_by_whole_persons() -> None:
    data = ck()
    usage = np.where(np.arange(len(data)) < 96, "Training", "Test")
    split = with_validation(dataclasses.replace(data, usage=usage), "ferplus8", seed=1)
    held = split.usage == "Validation"
    assert 0.05 < held[:96].mean() < 0.2
    assert (split.usage[96:] == "Test").all()  # the test rows are left alone
    assert not set(data.subject[held].tolist()) & set(data.subject[split.usage == "Training"].tolist())
    assert len(validation_rows(split)) == held.sum()


def test_duplicates_follow_the_rows_that_validation_takes() -> None:
    data = ck()
    usage = np.where(np.arange(len(data)) < 96, "Training", "Test")
    images = data.images.copy()
    images[np.arange(6, 96, 6)] = images[0]  # the first frame of every person that is trained on
    images[[96, 102]] = images[0], images[1]  # and of one that is tested, with one more
    given_split = dataclasses.replace(data, usage=usage, images=images)
    split = with_validation(given_split, "ferplus8", seed=1)
    held = np.flatnonzero(split.usage == "Validation")
    expected = [int(row) for row in held if row % 6 == 0] + [96] + [102] * (1 not in held)
    assert np.flatnonzero(split.duplicate).tolist() == expected
    assert 0 < len(expected) < len(held)
    fold = cross_validation(given_split, "ferplus8", 4, "subject", seed=1)[0]
    marked = as_fold(given_split, fold)
    assert marked.duplicate[marked.usage == "Test"].any()
    assert not marked.duplicate[marked.usage == "Training"].any()


def test_persons_that_are_not_known_are_not_claimed() -> None:
    data = ck()
    assert in_words(data, "subject") == "folds grouped by subject"
    assert in_words(data, "sequence") == "folds grouped by sequence"
    unknown = dataclasses.replace(data, subject=data.sequence)
    for by in ("subject", "sequence"):
        said = in_words(unknown, by)  # type: ignore[arg-type]
        assert "identical images together" in said
        assert "persons not known" in said
        assert "grouped" not in said
    assert in_words(unknown, "leaky").startswith("LEAKY")


def test_a_published_validation_split_stands() -> None:
    data = ck()
    usage = np.where(np.arange(len(data)) < 96, "Training", "PublicTest")
    given_split = dataclasses.replace(data, usage=usage)
    assert with_validation(given_split, "ferplus8", seed=1) is given_split


def test_a_set_without_splits_gets_two() -> None:
    split = with_validation(ck(), "ferplus8", seed=1)
    assert set(split.usage.tolist()) == {"Training", "Validation"}


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_hold_out_takes_about_its_share(share: float) -> None:
    labels, groups = np.arange(400) % 4, np.arange(400).astype(str)
    assert hold_out(labels, groups, share, 0).mean() == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("shape", [(48, 48), (48, 48, 3), (96, 96, 3)])
def test_ten_crops_differ_and_are_five_with_their_mirrors(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    crops = ten_crops(image)
    assert crops.shape == (10, *shape)
    assert len({crop.tobytes() for crop in crops}) == 10
    for crop, mirrored in zip(crops[:5], crops[5:], strict=True):
        np.testing.assert_array_equal(crop[:, ::-1], mirrored)


def test_ten_crops_show_the_corners() -> None:
    image = np.zeros((48, 48), dtype=np.uint8)
    image[:4, :4] = 255  # a light in the top left corner
    seen = [int(crop[:3, :3].min()) for crop in ten_crops(image)[:5]]
    assert seen[0] > 200
    assert max(seen[1:4]) < 10
    with pytest.raises(ValueError, match="all would be one"):
        ten_crops(image, enlarged=1.0)


def test_rows_held_out_of_training_are_whole_groups_and_go_to_the_temperature() -> None:
    data = with_validation(ck(), "ferplus8", seed=1)
    split = with_held_out(data, "ferplus8", seed=1, share=0.2)
    held = split.usage == HELD_OUT
    training = split.usage == "Training"
    assert held.any()
    assert training.any()
    assert not set(split.subject[held]) & set(split.subject[training])
    assert (data.usage[held | training] == "Training").all()
    assert (split.usage[~(held | training)] == data.usage[~(held | training)]).all()
    assert temperature_rows(split).usage.tolist() == [HELD_OUT] * int(held.sum())
    assert validation_rows(split).usage.tolist() == validation_rows(data).usage.tolist()
    assert with_held_out(data, "ferplus8", seed=1, share=0.0) is data
    assert temperature_rows(data).usage.tolist() == validation_rows(data).usage.tolist()


def test_a_recipe_that_holds_rows_out_trains_afresh_and_others_resume(tmp_path: Path) -> None:
    recipe, data = load_recipe("fer48"), tmp_path / "faces.npz"
    data.write_bytes(b"rows")
    held = dataclasses.replace(recipe, held_out=0.05)
    assert train_digest(held, data) != train_digest(recipe, data)
    assert train_digest(dataclasses.replace(held, held_out=0.0), data) == train_digest(recipe, data)
    with pytest.raises(SchemaError, match=r"held_out: found 0.9, expected 0, or a share of Training of 0.01 to 0.5"):
        dataclasses.replace(recipe, held_out=0.9)
