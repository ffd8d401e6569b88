"""Fine-tuning on a user's photos: whose photos are where, when it ends, what it leaves."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fer_host.cli import main
from fer_host.data.own import load_own
from fer_host.errors import DataError, RecipeError
from fer_host.models.weights import build_network, load_network
from fer_host.recipe.recipe import load_recipe, recipe_names
from fer_host.recipe.write import recipe_toml
from fer_host.train.tune import judged_rows, parted, scores_after, scores_before, tuned_recipe
from fer_host.tune_on import TuneRequest, TuneResult, format_table, train_on, tune_on

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def source(own_recipe: Path) -> Path:
    """A recipe with weights to start from."""
    torch.manual_seed(2)
    torch.save(build_network(load_recipe(str(own_recipe))).state_dict(), own_recipe.with_suffix(".pt"))
    return own_recipe


def test_it_learns_stops_and_leaves_recipe_weights_card_and_table(source: Path, tmp_path: Path) -> None:
    said: list[str] = []
    request = TuneRequest(source.parent / "own_data", str(source), limit_min=0.0, quiet=True)
    recipe, data, tuned = train_on(request, "mine_tuned", tmp_path / "out", said.append)
    parts = {usage: set(data.subject[data.usage == usage].tolist()) for usage in ("Training", "Validation", "Test")}
    assert all(parts.values())
    assert not parts["Training"] & parts["Test"]
    assert not parts["Training"] & parts["Validation"]
    assert not parts["Validation"] & parts["Test"]
    assert [epoch.epoch for epoch in tuned.curve] == [0, 10], "no time: one epoch of the head, one of all"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("mine_tuned.toml", "mine_tuned.safetensors", "mine_tuned.card.json", "mine_tuned.card.md"),
        "mine_tuned.confusion.png",
    }
    load_network(load_recipe(str(tmp_path / "out" / "mine_tuned.toml")))
    card = json.loads((tmp_path / "out" / "mine_tuned.card.json").read_text())
    assert card["weights_sha256"]
    before = scores_before(load_recipe(str(source)), recipe, judged_rows(data))
    after = scores_after(recipe, tuned.weights, judged_rows(data))
    assert before is not None
    text = format_table(TuneResult(recipe, data, before, after, 0.1), "mine")
    assert f"| tuned, float | {after.accuracy:.1%} | " in text
    assert f"{after.n} held-out faces, {len(parts['Test'])} persons" in text


def test_what_cannot_be_tuned_is_refused_before_anything_is_made(source: Path, tmp_path: Path) -> None:
    data = source.parent / "own_data"
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "mine").write_text("mine")
    with pytest.raises(RecipeError, match="not by tune-on"):
        tune_on(TuneRequest(data, str(source), out=strange))
    for pattern in ("(", r"\d+"):
        with pytest.raises(RecipeError, match="--person: found"):
            tune_on(TuneRequest(data, str(source), out=tmp_path / "out", person=pattern))
    with pytest.raises(RecipeError, match="--name"):
        tune_on(TuneRequest(data, str(source), name="../x"))
    for i, path in enumerate(sorted(data.rglob("*.png"))):
        if i % 4:
            path.unlink()
    with pytest.raises(DataError, match="12 photos, expected 24 or more"):
        tune_on(TuneRequest(data, str(source), out=tmp_path / "out"))
    assert sorted(path.name for path in strange.iterdir()) == ["mine"]
    assert not (tmp_path / "out").exists()
    assert main(["tune-on", str(tmp_path / "nothing")]) == 2


def test_two_names_for_one_label_are_refused(source: Path, tmp_path: Path) -> None:
    photo = next((source.parent / "own_data").rglob("*.png")).read_bytes()
    for name in ("happy", "smiling", "calm"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "1.png").write_bytes(photo)
    with pytest.raises(DataError, match="mean the same; expected one name for each label"):
        load_own(tmp_path / "data", (), "")


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_written_as_it_was_read(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    (tmp_path / "again.toml").write_text(recipe_toml(recipe))
    again = load_recipe(str(tmp_path / "again.toml"))
    for field in dataclasses.fields(recipe):
        if field.name not in ("sha256", "origin"):
            found, expected = getattr(again, field.name), getattr(recipe, field.name)
            assert found == expected, field.name


def test_a_source_of_two_label_sets_keeps_what_means_the_same() -> None:
    recipe = tuned_recipe(load_recipe("fer48"), "mine", ("smiling", "neutral"), 100, 1, "")
    assert (recipe.heads, recipe.n_outputs, recipe.label_names) == ((), 2, ("smiling", "neutral"))
    assert recipe.train[0].start == "fer48"
    assert recipe.train[0].loss.head_shares == ()


def test_own_splits_are_kept(own_recipe: Path) -> None:
    from fer_host.train.run import gray_crops

    data = gray_crops(load_recipe(str(own_recipe)), own_recipe.parent / "own_data", quiet=True)
    usage = np.array(["Training"] * 30 + ["Test"] * 18)
    rows = parted(dataclasses.replace(data, usage=usage), 1)
    assert (rows.usage == "Test").tolist() == (usage == "Test").tolist()
    assert (rows.usage == "Validation").sum() > 0
