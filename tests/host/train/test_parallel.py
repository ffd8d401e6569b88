"""Two processes of torchrun train as one with the joint batch, whatever the loss."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn

from fer_host.recipe.recipe import load_recipe
from fer_host.train import kfold
from fer_host.train.parallel import ALONE, join_layers

WORKER = """
import json, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
import torch
from torch import nn
from fer_host.recipe.train import Augment, LossConfig, OptimizerConfig, Phase, ScheduleConfig, TrainConfig
from fer_edge.contract.specs import InputSpec
from fer_host.train.batches import TrainSet
from fer_host.train.loop import train
from fer_host.train.parallel import join_team, leave_team

class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.heads = nn.ModuleList(nn.Conv2d(8, 8, 1) for _ in range(2))
        self.classifier = nn.Sequential(nn.Dropout(0.3), nn.Linear(8, 3))
    def attend(self, x):
        x = self.body(x)
        maps = [torch.sigmoid(head(x)) for head in self.heads]
        return self.classifier((x * torch.maximum(*maps)).mean((2, 3))), maps
    def forward(self, x):
        return self.attend(x)[0]

out = Path(sys.argv[1])
torch.set_num_threads(1)
random = np.random.default_rng(0)
bright = random.choice(3, 48, p=[0.7, 0.2, 0.1])
images = (random.integers(0, 60, (48, 20, 20)) + 60 * bright[:, None, None]).astype(np.uint8)
data = TrainSet(images, np.eye(3, dtype=np.float32)[bright])
config = TrainConfig(
    start="random", min_votes=0, phases=(Phase(4, 16),), seed=3, batch=8, ema_decay=0.9, clip_norm=2.0,
    optimizer=OptimizerConfig("sgd", 0.05, 0.9, 1e-4, 0.0), schedule=ScheduleConfig("one_cycle", warmup=0.2),
    loss=LossConfig(1.0), augment=Augment(0.5, 10.0, 0.1, 0.1, 0.05, 0.1, 0.1, 0.3, (0.02, 0.15)),
)
cases = {
    "plain": config,
    "sam": replace(config, optimizer=replace(config.optimizer, sam_rho=0.05)),
    "class_weights": replace(config, loss=LossConfig(1.0, class_weights=True)),
    "combo": replace(config, loss=LossConfig(1.0, combo=2.0, combo_alpha=0.3, combo_beta=0.6)),
    "attention": replace(config, loss=LossConfig(1.0, attention=0.02)),
}
team, found = join_team(), {}
for name, case in cases.items():
    torch.manual_seed(0)
    lines = []
    average, _ = train(
        Toy(), data, case, normalize=InputSpec("gray", 48, "bilinear", (0.5,), (0.25,)), checkpoint=out / f"{name}.pt",
        on_epoch=lambda epoch, size, net, loss, minutes: lines.append(loss), team=team,
    )
    state = {k: v.flatten().tolist() for k, v in average.state_dict().items() if v.dtype.is_floating_point}
    found[name] = {"losses": lines, "state": state}
leave_team()
if team.leads:
    (out / "found.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def one_and_two(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """What one process found, and what two did, by the loss."""
    root = tmp_path_factory.mktemp("team")
    worker = root / "worker.py"
    worker.write_text(WORKER)
    found = []
    for processes in (1, 2):
        out = root / str(processes)
        out.mkdir()
        alone = [sys.executable, str(worker), str(out)]
        team = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *alone[1:]]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = alone if processes == 1 else team
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(json.loads((out / "found.json").read_text()))
    return found[0], found[1]


@pytest.mark.parametrize("case", ["plain", "sam", "class_weights", "combo", "attention"])
def test_two_processes_give_the_loss_curve_of_one(
    one_and_two: tuple[dict[str, Any], dict[str, Any]], case: str
) -> None:
    one, two = (found[case] for found in one_and_two)
    assert len(one["losses"]) == 4
    assert one["losses"][-1] < one["losses"][0]
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-4)
    for name, values in one["state"].items():
        assert two["state"][name] == pytest.approx(values, rel=1e-3, abs=1e-4), name


def test_folds_leave_the_team_at_their_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    left: list[bool] = []
    monkeypatch.setattr(kfold, "leave_team", lambda: left.append(True))
    monkeypatch.setattr(kfold, "gray_crops", lambda *_, **__: None)
    monkeypatch.setattr(kfold, "cross_validation", lambda *_: [])
    monkeypatch.setattr(kfold, "train_digest", lambda *_: "")
    assert list(kfold.run_kfold(load_recipe("larn"), tmp_path, 2, "subject", 1, tmp_path)) == []
    assert left == [True]


def test_the_joint_batch_norm_keeps_small_differences_beside_a_large_mean(tmp_path: Path) -> None:
    """As torch's own does; the mean of squares less the square of the mean has lost them."""
    torch.manual_seed(0)
    x = 300 + 0.05 * torch.randn(16, 4, 6, 6)
    found = []
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        for joint in (False, True):
            model = nn.Sequential(nn.BatchNorm2d(4))
            if joint:
                join_layers(model, replace(ALONE, size=2))
            each = x.clone().requires_grad_()
            y = model(each)
            (gradient,) = torch.autograd.grad((y * torch.arange(6)).square().sum(), each)
            found.append((y.detach(), gradient, model[0].running_var))
    finally:
        distributed.destroy_process_group()
    for own, joint in zip(*found, strict=True):
        assert (joint - own).abs().max() < 0.01 * own.abs().max()
