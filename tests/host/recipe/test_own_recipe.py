"""A recipe of the user's own in any folder: its network, labels, start and data, and what refuses a mistake."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from fer_host.cli import main
from fer_host.data.load import open_data
from fer_host.errors import DataError, RecipeError, WeightsError
from fer_host.models.weights import build_network, load_network, zoo_path
from fer_host.recipe.recipe import load_recipe
from fer_host.train.digest import train_digest

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


def run(*line: object) -> int:
    return main([str(each) for each in line])


def test_train_search_and_prune_take_it_from_any_folder(
    own_recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("fer_host.train.run.TRAIN_CACHE", tmp_path / "cache")
    monkeypatch.setattr("fer_host.prune.run.TRAIN_CACHE", tmp_path / "cache")
    monkeypatch.setattr("fer_host.quantize.hawqc.TRAIN_CACHE", tmp_path / "cache")
    data = own_recipe.parent / "own_data"
    assert run("train", own_recipe, "--data", data) == 0, capsys.readouterr().err
    weights = own_recipe.with_suffix(".safetensors")
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == str(weights)
    assert "12 persons" in said.err
    card = json.loads(weights.with_suffix(".card.json").read_text())
    assert set(card["float_scores"][0]["recall"]) == {"calm", "tired"}
    pruned = own_recipe.parent / "small.safetensors"
    text = own_recipe.read_text()
    constants = Path(__file__).parent / "own_tables.toml"
    own_recipe.write_text(text + constants.read_text())
    assert run("search", own_recipe, "--data", data) == 0, capsys.readouterr().err
    assert (own_recipe.parent / "mine-6.knapsack.bits.json").is_file()
    assert run("prune", own_recipe, "--data", data, "--macs", 0.9, "--out", pruned) == 0, capsys.readouterr().err
    assert load_network(load_recipe(str(own_recipe)), pruned).get_parameter("head.weight").shape[0] == 2


def test_its_code_is_part_of_what_a_run_depends_on(own_recipe: Path) -> None:
    recipe = load_recipe(str(own_recipe))
    before = train_digest(recipe, own_recipe.parent / "own_data")
    (own_recipe.parent / "layers.py").write_text((own_recipe.parent / "layers.py").read_text() + "\n# changed\n")
    assert train_digest(recipe, own_recipe.parent / "own_data") != before


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("net.py", "self.head = nn.Linear(12,", "self.head = nn.Linear(13,", r"net\.py, line 13: Net\.forward raised"),
        ("net.py", "nn.Linear(12, num_classes)", "nn.Linear(12, 5)", r"gives \(1, 5\) .* expected \(1, 2\)"),
        ("net.py", "in_channels: int = 3", "depth: int", r"line 6: Net needs depth"),
        ("net.py", "class Net(", "class Other(", r"no class or function 'Net'; it has Other"),
        ("net.py", "from layers", "from lajers", r"net\.py, line 3: import raised ModuleNotFoundError"),
        ("net.py", "super().__init__()", "super().__init__(", r"net\.py, line \d+: import raised SyntaxError"),
        ("mine.toml", '"net.py:Net"', '"nets.py:Net"', r"no such file .*nets\.py"),
        ("mine.toml", '"net.py:Net"', '"Net"', r"unknown; expected .* file\.py:Class"),
        ("mine.toml", "flip_p = 0.5", 'flip_p = "x"', r"mine\.toml, line 27: .*flip_p"),
        ("mine.toml", '["calm", "tired"]', '["calm", "calm"]', r"line 3: mine\.labels: .*twice"),
        ("mine.toml", "size_px = 24\n", 'size_px = 24\nperson = "^x"\n', r"line 5: mine\.person: .*group"),
        ("mine.toml", "mean = [0.5]", "mean = [0.5", r"not valid TOML \(.*line"),
    ],
)
def test_a_mistake_is_one_line_with_its_file_and_line(
    own_recipe: Path, file: str, old: str, new: str, said: str
) -> None:
    path = own_recipe.parent / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(RecipeError, match=said) as caught:
        build_network(load_recipe(str(own_recipe)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../up", "/etc/x", "a/b", "..", "", "a\\u0000b"])
def test_an_id_that_would_lead_out_of_build_is_refused(own_recipe: Path, name: str) -> None:
    """Security fault S12: stages and bundles are called by it, and lay outside build/ and dist/."""
    text = own_recipe.read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("id =")] or [""]
    own_recipe.write_text(text.replace(line, f'id = "{name}"') if line else f'id = "{name}"\n{text}')
    with pytest.raises(RecipeError, match=r"id: found .*, expected letters, digits") as caught:
        load_recipe(str(own_recipe))
    assert "\n" not in str(caught.value)


def test_a_start_takes_what_fits_and_says_what_does_not(own_recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fer_host.train.run import _started

    own_recipe.write_text(own_recipe.read_text().replace('"random"', '"begun.pt"'))
    recipe = load_recipe(str(own_recipe))
    other = build_network(recipe)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.fill_(0.25)
    state = {f"module.{key}": value for key, value in other.state_dict().items() if "head" not in key}
    torch.save({"state_dict": state | {"module.head.weight": torch.zeros(3, 12), "module.head.bias": torch.zeros(3)}},
               own_recipe.parent / "begun.pt")  # fmt: skip
    begun = _started(recipe)
    assert torch.equal(begun.get_parameter("body.0.0.weight"), other.get_parameter("body.0.0.weight"))
    assert "afresh head.weight, head.bias" in capsys.readouterr().err
    torch.save({"other": torch.zeros(3)}, own_recipe.parent / "begun.pt")
    with pytest.raises(WeightsError, match=r"begun\.pt: 0 of \d+ numbers fit"):
        _started(recipe)


def test_its_weights_lie_beside_it_and_may_be_a_state_dict(own_recipe: Path) -> None:
    recipe = load_recipe(str(own_recipe))
    with pytest.raises(WeightsError, match=re.escape(f"`fer-host train {own_recipe} --data …` makes it")):
        load_network(recipe)
    torch.save(build_network(recipe).state_dict(), own_recipe.with_suffix(".pt"))
    assert zoo_path(recipe) == own_recipe.with_suffix(".pt")
    load_network(recipe)


def test_labels_come_from_folders_tables_and_published_sets(own_recipe: Path, tmp_path: Path) -> None:
    data = own_recipe.parent / "own_data"
    rows = open_data(data, ("tired", "calm"))
    assert rows.own_names == ("tired", "calm")
    assert rows.labels("own").tolist() == [1] * 24 + [0] * 24
    assert len(set(rows.subject.tolist())) == 12
    (data / "joy").mkdir()
    (data / "joy" / "1.png").write_bytes((data / "calm" / "000_0.png").read_bytes())
    with pytest.raises(DataError, match=r"'joy' \(1 photos\); expected only tired, calm"):
        open_data(data, ("tired", "calm"))
    table = data / "table.csv"
    table.write_text("image,label,person,split\ncalm/000_0.png,calm,a,train\ntired/000_0.png,Tired,b,test\n")
    rows = open_data(table, ("tired", "calm"))
    assert (rows.labels("own").tolist(), rows.usage.tolist()) == ([1, 0], ["Training", "Test"])
    assert rows.subject.tolist() == ["a", "b"]
    table.write_text("image,label\ncalm/nothing.png,calm\n")
    with pytest.raises(DataError, match=r"table\.csv, line 2: no such picture 'calm/nothing.png'"):
        open_data(table, ("tired", "calm"))
    known = tmp_path / "emotions"
    for name in ("happy", "neutral", "angry"):
        (known / name).mkdir(parents=True)
        (known / name / "1.png").write_bytes((data / "calm" / "000_0.png").read_bytes())
    with pytest.raises(DataError, match="'angry'"):
        open_data(known, ("neutral", "smiling"))


def test_a_pattern_names_the_person(own_recipe: Path) -> None:
    data = own_recipe.parent / "own_data"
    assert len(set(open_data(data, ("calm", "tired"), r"_(\d)").subject.tolist())) == 2
    with pytest.raises(DataError, match=r"48 file names do not fit the pattern '\^x\(\.\)'"):
        open_data(data, ("calm", "tired"), "^x(.)")
