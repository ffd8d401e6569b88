"""Where a recipe leaves precision and threads open, the faster way is taken, kept, and said in the card."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from train_helpers import CONFIG, NORMALIZE, Small

from fer_host.errors import DataError
from fer_host.recipe.recipe import load_recipe
from fer_host.recipe.train import TrainConfig
from fer_host.train.batches import TrainSet
from fer_host.train.identities import OneHotRows
from fer_host.train.loop import train, way_path
from fer_host.train.machine import machine
from fer_host.train.parallel import ALONE
from fer_host.train.way import Way, kept_way, measured, settled

OPEN = replace(CONFIG, precision="auto")


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("slow", "chosen"), [("float32", "bfloat16"), ("bfloat16", "float32")])
def test_the_faster_precision_is_taken_and_the_network_stays_as_it_was(slow: str, chosen: str) -> None:
    def step(model: nn.Module, config: TrainConfig) -> None:
        model(torch.rand(4, 3, 16, 16))  # the batch norm of this model learns
        time.sleep(0.05 if config.precision == slow else 0.001)

    torch.set_num_threads(1)
    network = Small().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    way = measured(OPEN, network, step)
    assert (way.precision, way.threads) == (chosen, 1)
    assert set(way.images_s) == {"float32, 1 thread", "bfloat16, 1 thread"}
    assert way.images_s[f"{chosen}, 1 thread"] > way.images_s[f"{slow}, 1 thread"]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_threads_are_weighed_too() -> None:
    def step(_: nn.Module, __: TrainConfig) -> None:
        time.sleep(0.03 if torch.get_num_threads() > 1 else 0.001)  # as where others use the cores

    torch.set_num_threads(2)
    way = measured(OPEN, Small(), step)
    assert way.threads == 1
    assert len(way.images_s) == 4
    assert torch.get_num_threads() == 2


def trained(data: TrainSet, path: Path, config: TrainConfig, stop_after: int | None = None) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model, _ = train(
        Small(),
        data,
        config,
        normalize=NORMALIZE,
        checkpoint=path,
        on_epoch=lambda *_: None,
        stop_after=stop_after,
    )
    return model.state_dict()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_goes_on_as_it_began(data: TrainSet, tmp_path: Path, precision: str) -> None:
    """Whatever would be faster where it goes on: a run that is killed comes to the same weights."""
    expected = trained(data, tmp_path / "plain.pt", replace(CONFIG, precision=precision))
    kept = {"precision": precision, "threads": 1, "images_s": {}}
    way_path(tmp_path / "open.pt").write_text(json.dumps(kept))
    trained(data, tmp_path / "open.pt", OPEN, 5)
    found = trained(data, tmp_path / "open.pt", OPEN)
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    assert json.loads(way_path(tmp_path / "open.pt").read_text()) == kept


def test_what_was_chosen_is_kept_and_said(data: TrainSet, tmp_path: Path) -> None:
    trained(data, tmp_path / "cycle-1.pt", OPEN, 2)
    way = kept_way(way_path(tmp_path / "cycle-1.pt"))
    assert way is not None
    assert {name.partition(",")[0] for name in way.images_s} == {"float32", "bfloat16"}
    assert all(images_s > 0 for images_s in way.images_s.values())
    assert kept_way(way_path(tmp_path / "cycle-2.pt")) is None
    if not torch.cuda.is_available():
        said = machine(load_recipe("fer48"), Way("bfloat16", 2, {"float32, 2 threads": 90.5}))
        assert "2 shared cores of " in said
        assert said.endswith("bfloat16 (images a second when the run began: float32, 2 threads 90.5)")


@pytest.mark.parametrize("text", ["", "[]", '{"precision": "int4", "threads": 1, "images_s": {}}', '{"threads": 1}'])
def test_a_damaged_choice_is_named(data: TrainSet, tmp_path: Path, text: str) -> None:
    kept = tmp_path / "cycle-1.way.json"
    kept.write_text(text)
    with pytest.raises(DataError, match=r"cycle-1\.way\.json: found no choice .*: delete it"):
        settled(OPEN, Small(), lambda *_: None, kept, ALONE)
    assert kept.read_text() == text


def test_targets_that_are_made_as_they_are_asked_for_will_do(data: TrainSet, tmp_path: Path) -> None:
    """As those of three million portraits of 9,131 people are."""
    people = TrainSet(data.images, OneHotRows(data.targets.argmax(axis=1), 2))  # type: ignore[arg-type]
    found = [trained(rows, tmp_path / f"{i}.pt", CONFIG, 2) for i, rows in enumerate((data, people))]
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
    trained(people, tmp_path / "open.pt", OPEN, 2)
    assert kept_way(way_path(tmp_path / "open.pt")) is not None
