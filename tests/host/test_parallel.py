"""Two processes of torchrun train as one with the joint batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = """
import json, sys
from pathlib import Path
import numpy as np
import torch
from torch import nn
from fer_host.train.config import Augment, LossConfig, OptimizerConfig, Phase, ScheduleConfig, TrainConfig
from fer_host.train.loop import TrainSet, train
from fer_host.train.parallel import join_team, leave_team

out, rho = Path(sys.argv[1]), float(sys.argv[2])
torch.set_num_threads(1)
random = np.random.default_rng(0)
bright = random.integers(0, 3, 48)
images = (random.integers(0, 60, (48, 20, 20)) + 60 * bright[:, None, None]).astype(np.uint8)
data = TrainSet(images, np.eye(3, dtype=np.float32)[bright])
config = TrainConfig(
    start="random", min_votes=0, phases=(Phase(4, 16),), seed=3, batch=8, ema_decay=0.9, clip_norm=2.0,
    optimizer=OptimizerConfig("sgd", 0.05, 0.9, 1e-4, rho), schedule=ScheduleConfig("one_cycle", warmup=0.2),
    loss=LossConfig(1.0), augment=Augment(0.5, 10.0, 0.1, 0.1, 0.05, 0.1, 0.1, 0.3, (0.02, 0.15)),
)
torch.manual_seed(0)
model = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
model(torch.zeros(2, 1, 16, 16))
lines = []
average, _ = train(
    model, data, config, normalize=(torch.tensor([0.5]), torch.tensor([0.25])), checkpoint=out / "c.pt",
    on_epoch=lambda epoch, size, net, loss, minutes: lines.append(loss), team=join_team(),
)
leads = join_team().leads
leave_team()
if leads:
    state = {k: v.flatten().tolist() for k, v in average.state_dict().items() if v.dtype.is_floating_point}
    (out / "curve.json").write_text(json.dumps({"losses": lines, "state": state}))
"""


@pytest.mark.parametrize("rho", [0.0, 0.05])
def test_two_processes_give_the_loss_curve_of_one(tmp_path: Path, rho: float) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER)
    found = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        out.mkdir()
        alone = [sys.executable, str(worker), str(out), str(rho)]
        team = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *alone[1:]]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = alone if processes == 1 else team
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(json.loads((out / "curve.json").read_text()))
    one, two = found
    assert len(one["losses"]) == 4
    assert one["losses"][-1] < 0.8 * one["losses"][0]
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-3)
    for name, values in one["state"].items():
        assert two["state"][name] == pytest.approx(values, rel=1e-2, abs=1e-3), name
