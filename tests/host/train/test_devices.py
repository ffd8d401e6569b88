"""Training and scoring where a GPU would be: every tensor that stays on the CPU by mistake is an error here.

The meta device stands for the GPU: it computes no values, but refuses to mix with the CPU as CUDA does.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fer_host.data.streamed import FileSource, Streamed
from fer_host.recipe.recipe import load_recipe
from fer_host.recipe.train import LossConfig, Phase
from fer_host.train.batches import TrainSet
from fer_host.train.checkpoint import load_checkpoint, save_checkpoint
from fer_host.train.identities import _share_known
from fer_host.train.loop import train
from fer_host.train.parallel import Team
from fer_host.train.scoring import predict

RECIPE = load_recipe("larn")


class Answer(torch.Tensor):
    """As a tensor on a GPU: no numpy array before it was copied to the CPU."""

    def numpy(self) -> np.ndarray:  # type: ignore[override]
        raise TypeError("can't convert a device tensor to numpy; use Tensor.cpu() first")

    def cpu(self) -> torch.Tensor:  # type: ignore[override]
        return self.as_subclass(torch.Tensor)


class Elsewhere(nn.Module):
    """As a network on a GPU: takes inputs that are there, and answers there."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, device="meta"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.device == self.weight.device
        return torch.eye(7)[torch.arange(len(x)) % 7].as_subclass(Answer)


class OnMeta(Team):
    """Its losses have no values."""

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        return torch.zeros(())


def test_probabilities_come_back_from_the_networks_device() -> None:
    found = predict(Elsewhere(), RECIPE, np.zeros((9, 48, 48), dtype=np.uint8), 48)
    assert found.argmax(axis=1).tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1]


def test_people_are_told_apart_on_the_networks_device(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = np.zeros((7, 48, 48), dtype=np.uint8)
    monkeypatch.setattr(Streamed, "face", lambda _, i: faces[i])
    rows = Streamed.all_of(FileSource.of([Path("f")] * 7), 48, "gray")
    assert _share_known(Elsewhere(), RECIPE, rows, np.array([0, 1, 2, 3, 4, 5, 0])) == pytest.approx(6 / 7)


def test_a_whole_run_with_a_teacher_stays_on_the_teams_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # knows no meta device

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
            self.head = nn.Linear(4, 7)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append((self is teacher, self.training, x.device.type))
            logits: torch.Tensor = self.head(self.body(x).mean((2, 3)))
            return logits

    seen: list[tuple[bool, bool, str]] = []
    teacher = Net().train()
    loss = LossConfig(0.0, teacher_share=0.5, teacher="any", class_weights=True)
    sam = replace(RECIPE.train[0].optimizer, sam_rho=0.05)
    config = replace(RECIPE.train[0], batch=4, phases=(Phase(2, 16),), loss=loss, optimizer=sam, precision="float32")
    average, _ = train(
        Net(),
        TrainSet(np.zeros((8, 20, 20), dtype=np.uint8), np.full((8, 7), 0.5 / 7, dtype=np.float32)),
        config,
        normalize=RECIPE.input,
        checkpoint=tmp_path / "c.pt",
        teacher=teacher,
        on_epoch=lambda *_: None,
        team=OnMeta(0, 1, torch.device("meta")),
    )
    assert {p.device.type for p in (*average.parameters(), *teacher.parameters())} == {"meta"}
    assert set(seen) == {(True, False, "meta"), (False, True, "meta")}


def test_a_state_that_a_gpu_wrote_loads_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, average = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda _: "cuda:7")
        save_checkpoint(tmp_path / "c.pt", model, average, optimizer, {"step": 3})
    fresh, progress = nn.Linear(2, 2), {"step": 0}
    assert load_checkpoint(tmp_path / "c.pt", fresh, average, optimizer, progress)
    assert torch.equal(fresh.weight, model.weight)
    assert progress == {"step": 3}
