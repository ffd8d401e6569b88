"""A set that streams trains as one in memory does: the same batches, whoever decodes them, and after a kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from fer_edge.contract.specs import InputSpec
from fer_host.data import damage
from fer_host.data.identities import load_identities
from fer_host.data.load import load_data
from fer_host.data.sharding import make_shards
from fer_host.data.sharding_job import job_of
from fer_host.data.streamed import Streamed
from fer_host.errors import DataError
from fer_host.models.weights import build_network
from fer_host.prune.schedule import balanced_subset
from fer_host.prune.schedule import batches as prunes
from fer_host.recipe.recipe import load_recipe
from fer_host.recipe.train import Augment, LossConfig, OptimizerConfig, Phase, ScheduleConfig, TrainConfig
from fer_host.train.batches import Batches, TrainSet, n_steps, schedule
from fer_host.train.loop import train
from fer_host.train.parallel import ALONE, Team
from fer_host.train.scoring import predict_logits, protocol_scores

INPUT = InputSpec("gray", 24, "bilinear", (0.5,), (0.25,))
CONFIG = TrainConfig(
    start="random",
    min_votes=0,
    phases=(Phase(1, 16), Phase(2, 20)),
    seed=3,
    batch=8,
    ema_decay=0.9,
    clip_norm=2.0,
    optimizer=OptimizerConfig("sgd", 0.05, 0.9, 1e-4, 0.0),
    schedule=ScheduleConfig("one_cycle", warmup=0.2),
    loss=LossConfig(1.0),
    augment=Augment(0.5, 10.0, 0.1, 0.1, 0.05, 0.1, 0.1, 0.3, (0.02, 0.15)),
)
pytestmark = pytest.mark.usefixtures("one_thread")


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.classifier = nn.Sequential(nn.Dropout(0.3), nn.Linear(8, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classifier(self.body(x).mean((2, 3)))
        return logits


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of 60 faces, and the shards made of it."""
    root = tmp_path_factory.mktemp("faces")
    random = np.random.default_rng(0)
    for i in range(60):
        place = root / "faces" / "train" / ("anger", "happiness", "sadness")[i % 3]
        place.mkdir(parents=True, exist_ok=True)
        face = random.integers(0, 60, (30, 30, 3)) + 60 * (i % 3)
        assert cv2.imwrite(str(place / f"{i:04d}.jpg"), face.astype(np.uint8))
    make_shards(job_of(root / "faces", {}, lambda: pytest.fail("crops are not cut")), root / "shards", workers=1)
    return root / "faces", root / "shards"


def rows_of(path: Path) -> TrainSet:
    data = load_data(path, size_px=24, quiet=True)
    to3 = np.array([0, 0, 0, 1, 0, 2, 0])
    return TrainSet(data.images, np.eye(3, dtype=np.float32)[to3[data.label7]])


def trained(rows: TrainSet, checkpoint: Path, stop_after: int | None = None) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    average, _ = train(
        Toy(),
        rows,
        CONFIG,
        normalize=INPUT,
        checkpoint=checkpoint,
        on_epoch=lambda *_: None,
        checkpoint_every=3,
        stop_after=stop_after,
    )
    return {key: value.clone() for key, value in average.state_dict().items()}


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return all(torch.equal(value, second[key]) for key, value in first.items())


def test_a_set_that_streams_trains_to_the_weights_of_one_in_memory(
    faces: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, shards = faces
    memory = rows_of(folder)
    assert isinstance(memory.images, np.ndarray)
    expected = trained(memory, tmp_path / "memory.pt")
    streams = rows_of(shards)
    assert isinstance(streams.images, Streamed)
    monkeypatch.setenv("FER_WORKERS", "1")
    assert same(trained(streams, tmp_path / "one.pt"), expected)
    monkeypatch.setenv("FER_WORKERS", "3")
    trained(streams, tmp_path / "killed.pt", stop_after=10)  # in the middle of an epoch
    monkeypatch.setenv("FER_WORKERS", "2")
    assert same(trained(rows_of(shards), tmp_path / "killed.pt"), expected)


def batches(rows: TrainSet, config: TrainConfig, team: Team) -> list[Any]:
    return list(Batches(rows, config, INPUT, team, 0))


@pytest.mark.parametrize("kind", ["plain", "light", "mixup"])
def test_two_processes_see_what_one_would(faces: tuple[Path, Path], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_WORKERS", "1")
    light = load_recipe("fer48").train[0].augment.light
    assert light is not None
    config = replace(CONFIG, phases=(Phase(1, 16),), mixup=0.4 if kind == "mixup" else 0.0)
    if kind == "light":
        config = replace(config, augment=replace(config.augment, light=light))
    rows = rows_of(faces[1])
    alone = batches(rows, config, ALONE)
    assert len(alone) == 7
    for rank in (0, 1):
        share = batches(rows, config, Team(rank, 2, torch.device("cpu")))
        for whole, part in zip(alone, share, strict=True):
            assert part.step == whole.step
            torch.testing.assert_close(part.x, whole.x[rank::2], rtol=0, atol=1e-6)
            assert torch.equal(part.targets, whole.targets[rank::2])


def test_only_the_share_is_read(faces: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    rows, read = rows_of(faces[1]), []
    face = Streamed.face
    monkeypatch.setattr(Streamed, "face", lambda images, i: (read.append(i), face(images, i))[1])
    run = Batches(rows, CONFIG, INPUT, Team(1, 4, torch.device("cpu")), 0)
    order = np.random.default_rng([CONFIG.seed, 0]).permutation(60)
    batch = run._streamed((next(schedule(60, CONFIG)), order[:8]))
    assert read == order[[1, 5]].tolist()
    assert batch.x.shape == (2, 1, 16, 16)


def test_the_schedule_goes_on_anywhere() -> None:
    steps = list(schedule(60, CONFIG))
    assert len(steps) == n_steps(60, CONFIG) == 21
    assert [step.step for step in steps] == list(range(21))
    assert [step.epoch for step in steps] == [i // 7 for i in range(21)]
    assert [step.nth for step in steps] == [i % 7 for i in range(21)]
    assert [step.size_px for step in steps] == [16] * 7 + [20] * 14
    for first in range(22):
        assert list(schedule(60, CONFIG, first)) == steps[first:]
    assert list(schedule(7, CONFIG)) == []


def test_pruning_and_scoring_see_the_same_pictures(faces: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_WORKERS", "2")
    recipe = load_recipe("larn")
    recipe = replace(recipe, input=replace(recipe.input, source_px=24))
    memory, streams = (balanced_subset(rows_of(path), 7, 1) for path in faces)
    assert isinstance(streams.images, Streamed)
    assert len(streams.images) == len(memory.images) == 21
    for one, other in zip(prunes(memory, recipe, 20, 8), prunes(streams, recipe, 20, 8), strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
    torch.manual_seed(0)
    network = build_network(recipe).eval()
    logits = [predict_logits(network, recipe, rows_of(path).images, 48) for path in faces]
    np.testing.assert_array_equal(logits[0], logits[1])


def test_what_cannot_be_read_counts_in_no_score(faces: tuple[Path, Path]) -> None:
    recipe = load_recipe("larn")
    data = load_data(faces[1], size_px=48, quiet=True)
    assert isinstance(data.images, Streamed)
    torn = replace(data.images.source, shards=(replace(data.images.source.shards[0], size_bytes=1),))  # type: ignore[type-var]
    data = replace(data, images=replace(data.images, source=torn))
    torch.manual_seed(0)
    network = build_network(recipe).eval()
    logits = predict_logits(network, recipe, data.images, 48)
    assert np.isneginf(logits).all()
    assert protocol_scores(logits, recipe, data, "fer7") is None
    logits[3] = 0.0
    found = protocol_scores(logits, recipe, data, "fer7")
    assert found is not None
    assert found.n == 1


def test_people_in_shards_are_those_of_their_tree(tmp_path: Path) -> None:
    for person in range(3):
        for i in range(15):
            place = tmp_path / "vgg" / ("train" if person else "test") / f"n{person + 1:06d}"
            place.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(place / f"{i:04d}_01.png"), np.full((20, 18, 3), 80 * person + i, dtype=np.uint8))
    out = tmp_path / "out"
    make_shards(job_of(tmp_path / "vgg", {}, lambda: pytest.fail("crops are not cut")), out, workers=1)
    tree, shards = (load_identities(path, seed=4) for path in (tmp_path / "vgg", out))
    assert shards.names == tree.names == ("n000001", "n000002", "n000003")
    assert shards.label.tolist() == tree.label.tolist()
    assert shards.validation.tolist() == tree.validation.tolist()
    assert int(tree.validation.sum()) == 3
    for row in range(45):
        np.testing.assert_array_equal(shards.source.picture(row), tree.source.picture(row))
    with pytest.raises(DataError, match="carry no emotions"):
        load_data(out)


def test_damage_ends_no_run(
    faces: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(damage, "_named", {})
    folder = tmp_path / "shards"
    folder.mkdir()
    for path in faces[1].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    shard = folder / "shard-00000.array_record"
    content = bytearray(shard.read_bytes())
    content[content.index(b"\xff\xd8\xff") + 300] ^= 255
    shard.write_bytes(content)
    monkeypatch.setenv("FER_WORKERS", "2")
    first = trained(rows_of(folder), tmp_path / "a.pt")
    said = capsys.readouterr().err
    assert said.count("record 0 (train/anger/0000.jpg): damaged") == 1
    assert "another picture takes its place" in said
    assert "1 pictures could not be read" in said
    monkeypatch.setenv("FER_WORKERS", "1")
    assert same(first, trained(rows_of(folder), tmp_path / "b.pt"))
    assert not same(first, trained(rows_of(faces[1]), tmp_path / "c.pt"))
